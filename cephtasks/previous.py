"""Previous: find the stack of layers that the next image goes on from."""

from collections.abc import Sequence
from dataclasses import dataclass

from cephtasks import console, intake, oci, repairs
from cephtasks.errors import CephtasksError
from cephtasks.intake import Stock
from cephtasks.reference import parse
from cephtasks.repairs import Repairs
from cephtasks.settings import Settings
from cephtasks.stack import StackLayer

BASE_ID = "cephtasks.base.id"  # the label that names an image's base by its id


@dataclass(frozen=True)
class Previous:
    """An image's layers above a base, as far as it is known what is in them, bottom first."""

    image: oci.Image | None = None
    appended: Sequence[oci.Appended] = ()
    layers: Sequence[StackLayer] = ()

    @property
    def repairs(self) -> Repairs:
        """The repairs that the image was given."""
        return repairs.read(self.image.labels) if self.image else Repairs()


def find(settings: Settings, stock: Stock, base: oci.Image, onto: str) -> Previous:
    """The stack of the image that `onto` names, else of IMAGE_NAME in the store, else at the push target.

    Empty where there is none on this base. Raises for `onto` what reading a registry raises.
    """
    if onto:
        return _told(onto, stack_of(stock, intake.from_registry(stock, parse(onto)), base), base)
    kept = stock.store.image(settings.image_name)
    if kept is not None:
        return _told(settings.image_name, stack_of(stock, kept, base), base)
    return _at_target(settings, stock, base)


def stack_of(stock: Stock, image: oci.Image, base: oci.Image) -> Previous:
    """The layers of an image above a base, up to the first of which nobody knows what is in it.

    Empty where the image has another base. Raises what reading a registry raises.
    """
    height = _height(stock, image, base)
    if height is None:
        return Previous()
    known: list[StackLayer] = []
    for item in image.layers[height:]:
        index = intake.known_index(stock, item)
        if index is None:
            break
        known.append(StackLayer(index.component, index.entries, item.blob.size))
    return Previous(image, oci.above(image, height)[: len(known)], known)


def _height(stock: Stock, image: oci.Image, base: oci.Image) -> int | None:
    """How many layers of an image are its base's; None where that is another base.

    What lies on an image of ours, as debug information does, is kept whatever became of that image.
    """
    if image.diff_ids[: len(base.diff_ids)] == base.diff_ids:
        return len(base.diff_ids)
    own = stock.store.image(image.labels.get(BASE_ID, "")) if BASE_ID in base.labels else None
    return len(own.diff_ids) if own and BASE_ID in own.labels else None


def _at_target(settings: Settings, stock: Stock, base: oci.Image) -> Previous:
    try:
        found = stack_of(stock, intake.from_registry(stock, parse(settings.target)), base)
    except CephtasksError:
        return Previous()  # there is no such image, or it cannot be had: a stack is begun
    if found.layers:
        console.say(f"going on from {settings.target}")
    return _told(settings.target, found, base)


def _told(name: str, found: Previous, base: oci.Image) -> Previous:
    """What was found, after saying why it is nothing where there is an image."""
    if found.image is None:
        console.warn(f"{name} lies on another base; a new stack is begun")
    elif not found.layers and len(found.image.layers) > len(base.layers):
        console.warn(f"{name} has no layers of ours; a new stack is begun")
    return found
