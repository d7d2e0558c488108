"""Drawing: the model's answers for clusters of every size, as a table and as a plot."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.scale.measuring import Measured
from bench.scale.model import Load, Machines, Outcome, roll_out
from cephtasks import console

GIGABIT = 125e6  # bytes a second
SIZES = (10, 32, 100, 320, 1000, 3200, 10_000)
TOLD = (10, 100, 1000, 10_000)  # of these the table
AT_ONCE = 32  # as the setting has it by default
RACK = 40  # nodes that share a mirror


@dataclass(frozen=True)
class Way:
    """A way to bring something to all nodes."""

    name: str
    load: Load
    mirrored: bool
    colour: str


def machines(measured: Measured) -> Machines:
    """The client as it was measured, on links as labs have them."""
    return Machines(10 * GIGABIT, 10 * GIGABIT, 1 * GIGABIT, measured.client_seconds)


def ways(measured: Measured) -> tuple[Way, ...]:
    """The whole image and an edit, from the registry and through a mirror for each rack.

    What an engine took from loopback is what it takes to unpack, as the bytes themselves were there at once.
    """
    image = Load(measured.image_bytes, measured.image_seconds)
    edit = Load(measured.edit_bytes, measured.edit_seconds)
    return (
        Way("image", image, False, "tab:red"),
        Way("image, mirrors", image, True, "tab:red"),
        Way("edit", edit, False, "tab:blue"),
        Way("edit, mirrors", edit, True, "tab:blue"),
    )


def outcome(measured: Measured, way: Way, nodes: int, at_once: int = AT_ONCE) -> Outcome:
    """What a way comes to in a cluster of that size."""
    mirrors = -(-nodes // RACK) if way.mirrored else 0
    return roll_out(machines(measured), nodes, at_once, way.load, mirrors)


def table(measured: Measured) -> str:
    """The table of docs/scale.md."""
    return "\n".join(_rows(measured))


def _rows(measured: Measured) -> Iterator[str]:
    told = ways(measured)
    yield "| nodes | " + " | ".join(way.name for way in told) + " |"
    yield "|---:|" + "---:|" * len(told)
    for nodes in TOLD:
        cells = (outcome(measured, way, nodes) for way in told)
        yield (
            f"| {nodes} | "
            + " | ".join(f"{console.size(one.egress)}, {_time(one.seconds)}" for one in cells)
            + " |"
        )


def comparison(measured: Measured) -> str:
    """What the model says of the edits that were measured, node after node on loopback, beside that."""
    here = replace(machines(measured), registry_rate=math.inf, node_rate=math.inf)
    found = roll_out(here, measured.nodes, 1, Load(measured.edit_bytes, measured.edit_seconds))
    return (
        f"{measured.nodes} engines one after the other: {found.seconds:.2f} s by the model, "
        f"{measured.edits_seconds:.2f} s measured; {console.size(found.egress)} by the model, "
        f"{console.size(measured.edits_bytes)} counted at the registry"
    )


def _time(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds / 60:.1f} min"


def plot(measured: Measured, file: Path) -> None:
    """Draw both quantities over the size of the cluster, to logarithmic scales."""
    import matplotlib as mpl  # noqa: PLC0415 — only whoever draws needs it

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "cephtasks"  # the same drawing for the same numbers
    from matplotlib import pyplot  # noqa: PLC0415

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
    for way in ways(measured):
        found = [outcome(measured, way, nodes) for nodes in SIZES]
        _line(left, way, [one.egress / 1e9 for one in found])
        _line(right, way, [one.seconds for one in found])
    left.set_ylabel("sent by the registry, GB")
    right.set_ylabel("until the last node has it, s")
    for axes in (left, right):
        axes.set_xlabel("nodes")
        axes.grid(visible=True, which="major", alpha=0.3)
        axes.legend()
    figure.savefig(file, metadata={"Date": None})


def _line(axes: object, way: Way, values: Sequence[float]) -> None:
    axes.loglog(SIZES, values, "--" if way.mirrored else "-", color=way.colour, label=way.name, marker=".")  # type: ignore[attr-defined]
