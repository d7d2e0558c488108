"""Series: bytes that a node fetches for many edits in turn, by the log of the registry."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import flows
from bench.contest import BYTES, Result
from bench.edits import compressed_size, edit
from bench.stage import BASE, Stage
from bench.traffic import watching
from cephtasks import console
from lab.engines import Node, node
from lab.registries import Registry
from lab.terminal import Terminal

_EDITS = 20
_ONE = (Path("usr/bin/ceph-osd"),)
_EIGHT = (
    *(Path("usr/bin", name) for name in ("ceph-osd", "ceph-mon", "ceph-mds", "radosgw-admin")),
    *(Path("usr/lib/x86_64-linux-gnu", name) for name in ("libradosgw.so.2.0.0", "librbd.so.1.16.0")),
    Path("usr/lib/x86_64-linux-gnu/ceph/libceph-common.so.2"),
    Path("usr/bin/ceph-objectstore-tool"),
)


@dataclass(frozen=True)
class Step:
    """One edit: the bytes that the node fetched, and those of the edited file by itself, compressed.

    `appended` says whether the image kept all layers that it had.
    """

    fetched: int
    own: int
    appended: bool


def of_one(stage: Stage, rounds: int) -> list[Result]:
    """The same binary, edited again and again."""
    return _series(stage, "ceph-osd", _ONE)


def of_eight(stage: Stage, rounds: int) -> list[Result]:
    """Eight daemons and libraries, edited in turn."""
    return _series(stage, "eight binaries", _EIGHT)


def _series(stage: Stage, what: str, binaries: Sequence[Path]) -> list[Result]:
    with (
        stage.registry() as registry,
        stage.terminal(registry) as terminal,
        node(stage.folder / "node") as far,
    ):
        far.docker("pull", "--quiet", f"{registry.host}/{BASE}")
        steps = _steps(stage, registry, terminal, far, binaries)
        old = _old_flow(stage, registry, far)
    own = sum(step.own for step in steps)
    fetched = sum(step.fetched for step in steps)
    compactions = sum(step.fetched - step.own for step in steps if not step.appended)
    work, against = f"{_EDITS} edits of {what}, fetched", "the changed files, compressed"
    deeper = f"{sum(not step.appended for step in steps)} stacks not only appended to"
    times = f"one pull, {_EDITS} times"
    return [
        Result(f"{work}: appended", against, BYTES, fetched - compactions, own, 1.1),
        Result(f"{work}: compactions", against, BYTES, compactions, own, 0.5, deeper),
        Result(f"{work}: all", "the old flow", BYTES, fetched, _EDITS * old, 0.3, times),
    ]


def _steps(
    stage: Stage, registry: Registry, terminal: Terminal, far: Node, binaries: Sequence[Path]
) -> Sequence[Step]:
    pushed = flows.pack_push(terminal, stage.tree)
    far.docker("pull", "--quiet", pushed["reference"])
    steps = []
    for number in range(_EDITS):
        binary = stage.tree / binaries[number % len(binaries)]
        edit(binary)
        before, pushed = _digests(pushed), flows.pack_push(terminal, stage.tree)
        with watching(registry) as watched:
            far.docker("pull", "--quiet", pushed["reference"])
        appended = _digests(pushed)[: len(before)] == before
        steps.append(Step(watched.fetched_by_engines, compressed_size(binary), appended))
        console.say(f"edit {number + 1}, of {binary.name}: {steps[-1]}")
    return steps


def _old_flow(stage: Stage, registry: Registry, far: Node) -> int:
    """Bytes that a node with the base fetches after an edit: always the one layer with everything."""
    with flows.container_name() as container:
        flows.commit_push(registry, stage.tree, container)
    with watching(registry) as watched:
        far.docker("pull", "--quiet", f"{registry.host}/{flows.COMMITTED}")
    return watched.fetched_by_engines


def _digests(pushed: flows.Pushed) -> Sequence[str]:
    return [layer["digest"] for layer in pushed["layers"]]
