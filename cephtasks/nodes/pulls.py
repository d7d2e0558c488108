"""Pulls: bring the very same image to every node, and count what each one fetched."""

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cephtasks import registry
from cephtasks.engine import ALREADY_THERE, DOWNLOADING, EXTRACTING, FETCHED, Engine, OnProgress
from cephtasks.jobs import Stopped
from cephtasks.node_list import Node
from cephtasks.nodes.fleet import Fleet, OnEnd, Outcome
from cephtasks.oci import Image
from cephtasks.reference import Reference

OnNode = Callable[[str, int, int, str], None]  # node, bytes done, bytes in all as far as known, a note


@dataclass(frozen=True)
class Target:
    """What nodes are to have: the name that they give it, its digest in the registry, and its parts."""

    reference: Reference
    digest: str
    image: Image

    @property
    def by_digest(self) -> Reference:
        """The reference that every node pulls."""
        return self.reference.with_digest(self.digest)

    def document(self) -> dict[str, Any]:
        """The target as `--json` prints it."""
        return {"reference": str(self.reference), "digest": self.digest}


@dataclass(frozen=True)
class Pulled:
    """What a node had to do: bytes that it fetched, failed attempts included; it may have `had` the image."""

    fetched_bytes: int
    had: bool


class Meter:
    """How much of a pull is through, by the engine's words; `sizes` are of layers, by their short digests."""

    def __init__(self, sizes: Mapping[str, int]) -> None:
        self._sizes = sizes
        self._done: dict[str, int] = {}

    @property
    def done(self) -> int:
        """The bytes that were fetched."""
        return sum(self._done.values())

    @property
    def total(self) -> int:
        """The bytes of the layers that are fetched, as far as the engine has told."""
        return sum(self._sizes[layer] for layer in self._done)

    def note(self, layer: str, done: int, status: str) -> None:
        """Take in what the engine says of a layer."""
        if layer not in self._sizes:
            return  # the engine also speaks of the tag
        if status == ALREADY_THERE:
            self._done.pop(layer, None)
        elif status in FETCHED:
            self._done[layer] = self._sizes[layer]
        else:
            self._done[layer] = done if status == DOWNLOADING else self._done.get(layer, 0)


def target(client: registry.Client, reference: Reference) -> Target:
    """What a name means in the registry right now; raises what `registry.read` raises."""
    digest = registry.resolve(client, reference)
    return Target(reference, digest, registry.read(client, reference.with_digest(digest)))


def pull(fleet: Fleet, wanted: Target, on_progress: OnNode, on_end: OnEnd) -> list[Outcome[Pulled]]:
    """Have every node pull the digest and give it the tag's name; what became of each.

    `on_progress` is called from the threads that attend to the nodes.
    """

    spent: Counter[Node] = Counter()

    def act(node: Node, engine: Engine, stop: threading.Event) -> Pulled:
        meter = Meter({_short(item.blob.digest): item.blob.size for item in wanted.image.layers})

        def note(layer: str, done: int, total: int | None, status: str) -> None:
            if stop.is_set():
                raise Stopped
            meter.note(layer, done, status)
            unpacks = status == EXTRACTING and meter.done == meter.total
            on_progress(node.name, meter.done, meter.total, "unpacking" if unpacks else "")

        try:
            had, config = _bring(engine, wanted, note)
        finally:
            spent[node] += meter.done
        return Pulled(spent[node] + config, had)

    return fleet.send(act, on_end)


def _bring(engine: Engine, wanted: Target, note: OnProgress) -> tuple[bool, int]:
    """Pull the image unless the node has it; whether it had it, and the bytes of the config it fetches."""
    name = str(wanted.by_digest)
    had = engine.image(name) is not None
    config = 0 if engine.image(wanted.image.id) else wanted.image.config_blob.size
    if not had:
        engine.pull(name, note)
    if wanted.reference.tag:
        engine.tag(name, f"{wanted.reference.name}:{wanted.reference.tag}")
    return had, config


def _short(digest: str) -> str:
    """A layer's digest as engines show it."""
    return digest.partition(":")[2][:12]
