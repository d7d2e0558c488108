"""Superseded: find images of nodes that later ones took the tag from, and remove them."""

import threading
from dataclasses import dataclass
from typing import Any

from cephtasks.engine import Engine
from cephtasks.errors import EngineRefused
from cephtasks.node_list import Node
from cephtasks.nodes.fleet import Fleet, Outcome


@dataclass(frozen=True)
class Superseded:
    """The digests that a node has without a tag; of these `used` are those that containers hold on to."""

    digests: tuple[str, ...]
    used: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """As `nodes.prune --json` prints it."""
        return {"images": list(self.digests), "used": list(self.used)}


def prune(fleet: Fleet, name: str, remove: bool) -> list[Outcome[Superseded]]:
    """What every node has of `registry/repository` without a tag, and with `remove` no longer has.

    Layers that other images need stay, and so does what a container uses.
    """

    def act(node: Node, engine: Engine, stop: threading.Event) -> Superseded:
        found = [
            digest
            for image in engine.images()
            if not image.tags
            for digest in image.repo_digests
            if digest.startswith(f"{name}@")
        ]
        used = [digest for digest in found if remove and not _removed(engine, digest)]
        return Superseded(tuple(found), tuple(used))

    return fleet.visit(act)


def _removed(engine: Engine, digest: str) -> bool:
    try:
        engine.untag(digest)
    except EngineRefused as error:
        if "being used" in error.fact or "is using" in error.fact:
            return False
        raise
    return True
