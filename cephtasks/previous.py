"""Previous: find the stack of layers that the next image goes on from."""

from collections.abc import Sequence
from dataclasses import dataclass

from cephtasks import console, intake, oci, repairs
from cephtasks.errors import CephtasksError
from cephtasks.intake import Places
from cephtasks.reference import parse
from cephtasks.repairs import Repairs
from cephtasks.settings import Settings
from cephtasks.stack import StackLayer


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


def find(settings: Settings, places: Places, base: oci.Image, onto: str) -> Previous:
    """The stack of the image that `onto` names, else of IMAGE_NAME in the store, else at the push target.

    Empty where there is none on this base. Raises for `onto` what reading a registry raises.
    """
    if onto:
        found = stack_of(places, intake.from_registry(places, parse(onto)), base)
        if found.image is None:
            console.warn(f"{onto} lies on another base; a new stack is begun")
        return found
    kept = places.store.image(settings.image_name)
    return stack_of(places, kept, base) if kept is not None else _at_target(settings, places, base)


def stack_of(places: Places, image: oci.Image, base: oci.Image) -> Previous:
    """The layers of an image above a base, up to the first of which nobody knows what is in it.

    Empty where the image has another base. Raises what reading a registry raises.
    """
    height = len(base.diff_ids)
    if image.diff_ids[:height] != base.diff_ids:
        return Previous()
    known: list[StackLayer] = []
    for item in image.layers[height:]:
        index = intake.known_index(places, item)
        if index is None:
            break
        known.append(StackLayer(index.component, index.entries, item.blob.size))
    return Previous(image, oci.above(image, height)[: len(known)], known)


def _at_target(settings: Settings, places: Places, base: oci.Image) -> Previous:
    try:
        found = stack_of(places, intake.from_registry(places, parse(settings.target)), base)
    except CephtasksError:
        return Previous()  # there is no such image, or it cannot be had: a stack is begun
    if found.layers:
        console.say(f"going on from {settings.target}")
    return found
