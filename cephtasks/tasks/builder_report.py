"""Builder report: print what the builder did."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cephtasks import console

if TYPE_CHECKING:
    from cephtasks.builder import Compiled
    from cephtasks.builders import Builders
    from cephtasks.settings import Settings


def compiled(made: "Compiled") -> None:
    """How long compiling took, what the cache had, and where the fruits and the log are."""
    if not made.seconds:
        return
    told = [f"compiled in {made.seconds:.1f} s"]
    if made.use is not None:
        told += [f"{made.use.percent} % of {console.count(made.use.compiled, 'file')} from the cache"]
    if made.warnings:
        told += [console.count(made.warnings, "warning")]
    console.say(f"{', '.join(told)}, installed in {made.tree}; log: {made.log}")


def trusted(settings: "Settings") -> None:
    """What it means to give a builder image the engine's socket."""
    console.warn(
        f"{settings.builder_image} gets the Docker engine's socket:"
        " what runs in it can become root on the engine's host, and change or read everything there"
    )


def saved(files: "Sequence[Path]") -> None:
    """What was saved, so that all is compiled again."""
    if files:
        more = f" and {console.count(len(files) - 1, 'file')} more" if files[1:] else ""
        console.say(f"{files[0]}{more} changed")


def builders(found: "Builders", chosen: str, as_json: bool) -> None:
    """The builder images, that which is used marked, and the folders."""
    if as_json:
        console.result_json(found.document())
        return
    rows = [
        (image.name, image.folder, console.size(image.size), "BUILDER_IMAGE" * (image.name == chosen))
        for image in found.images
    ]
    console.table(("image", "made from", "size", "used as"), rows)
    console.result("")
    console.table(("folder", "starts from"), [(folder.name, folder.base) for folder in found.folders])
