"""Delivery: name an image in the store, and load into the engine what that lacks of it."""

import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from itertools import chain
from types import TracebackType

from cephtasks import archive, console, oci
from cephtasks.archive import Tar
from cephtasks.engine import Engine, EngineImage
from cephtasks.errors import EngineRefused, TreeChanged
from cephtasks.previous import BASE_ID
from cephtasks.reference import parse
from cephtasks.store import Store


class Delivery:
    """An image on its way into the store and the engine, which takes in layers while they are written.

    It begins with the block, in which the image is made and given to `complete`; where that fails, the
    engine forgets what it was sent. Whoever needs the image in the engine waits for it.
    """

    def __init__(
        self,
        store: Store,
        engine: Engine,
        name: str,
        below: Sequence[oci.Layer],
        above: Iterable[Tar] | None = None,
        near: Sequence[str] = (),
        on_demand: bool = False,
    ) -> None:
        """`below` are layers of the store, `above` the new ones on them, if any.

        `near` names images of the engine that may share layers with this one. With `on_demand` the engine
        gets nothing before `bring` is called for it.
        """
        self._store, self._engine, self._name = store, engine, name
        self._below, self._above, self._near = below, above, near
        self._on_demand = on_demand
        self._image: Future[oci.Image] = Future()
        self._loaded: Future[None] = Future()

    def __enter__(self) -> "Delivery":
        if not self._on_demand:
            # A process that is to end does not wait for what nobody waits for.
            threading.Thread(target=self._settle, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._image.cancel()  # has no effect once it is there

    def complete(self, image: oci.Image) -> None:
        """Name the image in the store, and let the engine have it; raises StoreFailed."""
        self._store.put_image(image, self._name, awaited=True)
        self._image.set_result(image)

    def wait(self) -> None:
        """Return once the engine has the image, if it is to get it now.

        Raises EngineRefused, BlobDamaged, StoreFailed.
        """
        if not self._on_demand:
            self._loaded.result()

    def _settle(self) -> None:
        try:
            self._load()
            self._store.arrived(self._image.result(), self._name)
            self._loaded.set_result(None)
        except BaseException as error:  # raised again where it is waited for
            self._loaded.set_exception(error)

    def _load(self) -> None:
        if self._above is None and self._is_there(self._image.result()):
            return
        present = self._present()
        tars = chain(archive.stored(self._below, present, self._store.open), self._above or ())
        try:
            self._engine.load(self._while_wanted(archive.loadable(tars, self._named, self._image.result)))
        except (EngineRefused, TreeChanged):
            if self._above is None and not present:
                raise
            # Engines that keep images in containerd do not look layers up before they read them. And a
            # file may have changed after it was read for the store, or have been changed back before.
            image = self._image.result()
            whole = archive.stored(image.layers, (), self._store.open)
            self._engine.load(archive.loadable(whole, self._named, lambda: image))
        self._follow_store(self._image.result())

    def _follow_store(self, image: oci.Image) -> None:
        """Of two that had one name at once, the engine keeps the one that the store has kept."""
        named = self._store.image(self._name)
        if named is not None and named.id != image.id and self._engine.image(named.id) is not None:
            self._engine.tag(named.id, self._name)

    @property
    def _named(self) -> str:
        return parse(self._name).familiar

    def _is_there(self, image: oci.Image) -> bool:
        named = self._engine.image(self._name)
        if named is not None and named.id == image.id:
            return True
        unnamed = self._engine.image(image.id)
        if unnamed is not None:
            self._engine.tag(image.id, self._name)
        return unnamed is not None

    def _present(self) -> Sequence[str]:
        """The diff ids of those layers below that the engine has, as far as is known."""
        diff_ids = [item.diff_id for item in self._below]
        found = (self._engine.image(name) for name in (self._name, *self._near))
        return max((_shared(diff_ids, image.diff_ids) for image in found if image), key=len, default=())

    def _while_wanted(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            if self._image.cancelled():
                raise CancelledError
            yield piece


def deliver(store: Store, engine: Engine, image: oci.Image, name: str, near: Sequence[str] = ()) -> None:
    """Name an image of the store's layers, and load it into the engine with only the layers that it lacks.

    `near` names images of the engine that may share layers with it. Raises EngineRefused, StoreFailed.
    """
    with Delivery(store, engine, name, image.layers, near=near) as delivery:
        delivery.complete(image)
    delivery.wait()


def bring(store: Store, engine: Engine, name: str, hint: str) -> EngineImage:
    """The engine's image of a name; what only the store has, the engine gets first.

    That is so where the image was packed to be loaded on demand, where loading it was cut short, and where
    the engine has lost it. Raises ImageNotFound with the hint, EngineRefused, BlobDamaged, StoreFailed.
    """
    there = engine.image(name)
    if there is not None and not store.is_awaited(name):
        return there
    kept = store.image(name)
    if kept is not None and engine.dry:
        engine.load(())
    elif kept is not None:
        console.say(f"loading {name} into the engine")
        deliver(store, engine, kept, name, near=[kept.labels[BASE_ID]] if BASE_ID in kept.labels else [])
    return engine.require_image(name, hint)


def tag(store: Store, engine: Engine, name: str, target: str) -> None:
    """Give an image one more name, in the engine and, where it is there, in the store.

    An image that the engine gets on demand, it then gets under either name. Raises ImageNotFound,
    EngineRefused.
    """
    awaited = store.is_awaited(name)
    if not awaited:
        bring(store, engine, name, "invoke build")
        engine.tag(name, target)
    kept = store.image(name)
    if kept is not None and not engine.dry:
        store.put_image(kept, target, awaited)


def _shared(diff_ids: Sequence[str], others: Sequence[str]) -> Sequence[str]:
    """The longest beginning that two stacks of layers have in common."""
    common = 0
    for one, other in zip(diff_ids, others, strict=False):
        if one != other:
            break
        common += 1
    return diff_ids[:common]
