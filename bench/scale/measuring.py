"""Measuring: what the model is told of machines, from real engines and a registry of this one."""

import json
import resource
import subprocess
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from bench import flows
from bench.edits import edit
from bench.stage import Stage, invoke
from bench.traffic import watching
from cephtasks import console
from lab.engines import Node, node
from lab.registries import Registry
from lab.terminal import Terminal

_NODES = 5
_BINARY = Path("usr/bin/ceph-osd")


@dataclass(frozen=True)
class Measured:
    """Bytes of the whole image and of an edit; seconds of a node for each; seconds of the client for a node.

    `edits_seconds` is how long `nodes.pull` took for an edit on `nodes` nodes, one at a time, and
    `edits_bytes` what the registry sent to them meanwhile.
    """

    image_bytes: int
    image_seconds: float
    edit_bytes: int
    edit_seconds: float
    client_seconds: float
    nodes: int
    edits_seconds: float
    edits_bytes: int

    def write(self, file: Path) -> None:
        """Put it into a file, for the next drawing."""
        rounded = {name: round(value, 4) for name, value in asdict(self).items()}
        file.write_text(json.dumps(rounded, indent=2) + "\n")

    @staticmethod
    def read(file: Path) -> "Measured":
        """What was measured last."""
        return Measured(**json.loads(file.read_text()))


@dataclass(frozen=True)
class _Line:
    """Of an edit to all nodes: bytes that the registry sent, seconds of the nodes, of the client for each."""

    size: int
    seconds: float
    client: float


def measure(stage: Stage, rounds: int) -> Measured:
    """Pull the real Ceph and edits of its ceph-osd, on empty engines, from a registry on loopback."""
    with stage.registry() as registry, stage.terminal(registry) as terminal:
        pushed = flows.pack_push(terminal, stage.tree)
        image_bytes, image_seconds = _of_image(stage, registry, pushed["reference"], rounds)
        with ExitStack() as started:
            folders = [stage.folder / f"node{number}" for number in range(_NODES)]
            nodes = [started.enter_context(node(folder)) for folder in folders]
            _reach(terminal, nodes)
            invoke(terminal, "nodes.pull", "--at-once=1")
            edits = [_of_edit(stage, registry, terminal, nodes[0]) for _ in range(rounds)]
            invoke(terminal, "nodes.pull", "--at-once=1")
            lines = [_of_line(stage, registry, terminal, nodes) for _ in range(rounds)]
    return Measured(
        image_bytes,
        image_seconds,
        round(median(size for size, _ in edits)),
        median(seconds for _, seconds in edits),
        max(0.0, median(line.client for line in lines)),
        _NODES,
        median(line.seconds for line in lines),
        round(median(line.size for line in lines)),
    )


def _of_image(stage: Stage, registry: Registry, reference: str, rounds: int) -> tuple[int, float]:
    """Bytes that an empty engine fetches for the image, and how long that takes."""
    found = []
    for number in range(rounds):
        with node(stage.folder / "empty") as empty, watching(registry) as watched:
            seconds = _pull(empty, reference)
        found.append((watched.fetched_by_engines, seconds))
        console.say(f"the image, round {number + 1}: {console.size(found[-1][0])} in {seconds:.2f} s")
    return found[0][0], median(seconds for _, seconds in found)


def _of_edit(stage: Stage, registry: Registry, terminal: Terminal, one: Node) -> tuple[int, float]:
    edit(stage.tree / _BINARY)
    pushed = flows.pack_push(terminal, stage.tree)
    with watching(registry) as watched:
        seconds = _pull(one, pushed["reference"])
    console.say(f"an edit: {console.size(watched.fetched_by_engines)} in {seconds:.2f} s")
    return watched.fetched_by_engines, seconds


def _of_line(stage: Stage, registry: Registry, terminal: Terminal, nodes: Sequence[Node]) -> _Line:
    """`nodes.pull` for an edit, one node at a time: for the first node, and then for the others."""
    edit(stage.tree / _BINARY)
    flows.pack_push(terminal, stage.tree)
    with watching(registry) as watched:
        first = _typed(terminal, nodes[:1])
        others = _typed(terminal, nodes[1:])
    client = (others[1] - first[1]) / (len(nodes) - 2)
    console.say(
        f"{len(nodes)} nodes: {first[0] + others[0]:.2f} s, {client * 1000:.0f} ms of the client for each"
    )
    return _Line(watched.fetched_by_engines, first[0] + others[0], client)


def _typed(terminal: Terminal, nodes: Sequence[Node]) -> tuple[float, float]:
    """Seconds that the pulls of some nodes took, and of the processor that the line did."""
    before = _processor_seconds()
    names = " ".join(each.url for each in nodes)
    told = json.loads(invoke(terminal, "nodes.pull", "--at-once=1", "--json", f"--nodes={names}"))
    return sum(item["seconds"] for item in told["nodes"]), _processor_seconds() - before


def _reach(terminal: Terminal, nodes: Sequence[Node]) -> None:
    """Set NODES."""
    with (terminal.folder / ".env").open("a") as file:
        file.write(f'NODES="{" ".join(each.url for each in nodes)}"\n')


def _pull(far: Node, reference: str) -> float:
    started = time.perf_counter()
    subprocess.run(["docker", "-H", far.url, "pull", "--quiet", reference], check=True, capture_output=True)
    return time.perf_counter() - started


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
