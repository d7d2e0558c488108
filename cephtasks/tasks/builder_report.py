"""Builder report: print what the builder did."""

from typing import TYPE_CHECKING

from cephtasks import console

if TYPE_CHECKING:
    from cephtasks.builder import Compiled
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
