"""Builder report: print what the builder did."""

from typing import TYPE_CHECKING

from cephtasks import console

if TYPE_CHECKING:
    from cephtasks.builder import Compiled


def compiled(made: "Compiled") -> None:
    """How long compiling took, what the cache had, and where the fruits and the log are."""
    if not made.seconds:
        return
    told = [f"compiled in {made.seconds:.1f} s"]
    if made.use is not None:
        told += [f"{made.use.percent} % of {made.use.compiled} files from the cache"]
    console.say(f"{', '.join(told)}, installed in {made.tree}; log: {made.log}")
