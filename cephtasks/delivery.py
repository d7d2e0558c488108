"""Delivery: name an image in the store, and load into the engine what that lacks of it."""

from collections.abc import Sequence

from cephtasks import archive, oci
from cephtasks.engine import Engine
from cephtasks.errors import EngineRefused
from cephtasks.reference import parse
from cephtasks.store import Store


def deliver(store: Store, engine: Engine, image: oci.Image, name: str, near: Sequence[str] = ()) -> None:
    """Name an image in the store, and load it into the engine with only the layers that it lacks.

    `near` names images of the engine that may share layers with it. Raises EngineRefused, StoreFailed.
    """
    store.put_image(image, name)
    there = engine.image(name)
    if there is not None and there.id == image.id:
        return
    if engine.image(image.id) is not None:
        engine.tag(image.id, name)
        return
    neighbours = [found for other in (name, *near) if (found := engine.image(other)) is not None]
    present = max((_shared(image.diff_ids, other.diff_ids) for other in neighbours), key=len, default=())
    named = parse(name).familiar
    try:
        engine.load(archive.loadable(image, named, present, store.open))
    except EngineRefused:
        if not present:
            raise
        # Engines that keep images in containerd do not look layers up before they read them.
        engine.load(archive.loadable(image, named, (), store.open))


def tag(store: Store, engine: Engine, name: str, target: str) -> None:
    """Give an image one more name, in the engine and, where it is there, in the store.

    Raises ImageNotFound, EngineRefused.
    """
    engine.require_image(name, "invoke build")
    engine.tag(name, target)
    kept = store.image(name)
    if kept is not None and not engine.dry:
        store.put_image(kept, target)


def _shared(diff_ids: Sequence[str], others: Sequence[str]) -> Sequence[str]:
    """The longest beginning that two stacks of layers have in common."""
    common = 0
    for one, other in zip(diff_ids, others, strict=False):
        if one != other:
            break
        common += 1
    return diff_ids[:common]
