"""Checking: start the tools of an image on the nodes themselves."""

import threading
from collections.abc import Sequence
from dataclasses import replace

from cephtasks import tools
from cephtasks.engine import Engine
from cephtasks.errors import CheckFailed
from cephtasks.findings import Finding
from cephtasks.node_list import Node
from cephtasks.nodes.fleet import Fleet, Outcome
from cephtasks.nodes.pulls import Target

_NAMED = 3  # of the tools that do not start


def check(
    fleet: Fleet, wanted: Target, names: Sequence[str], required: bool
) -> list[Outcome[tuple[Finding, ...]]]:
    """Start tools of the image on every node; a node where one does not start has failed, with its findings.

    Where tools are `required` the image must have each of them.
    """
    image = str(wanted.by_digest)

    def act(node: Node, engine: Engine, stop: threading.Event) -> tuple[Finding, ...]:
        engine.require_image(image, "invoke nodes.pull")
        return tools.start(image, names, engine, required)

    return [_judged(outcome, image) for outcome in fleet.visit(act)]


def _judged(outcome: Outcome[tuple[Finding, ...]], image: str) -> Outcome[tuple[Finding, ...]]:
    """The outcome as a failure where a tool does not start."""
    faulty = [finding for finding in outcome.result or () if not finding.ok]
    if not faulty:
        return outcome
    more = f" and {len(faulty) - _NAMED} more" if len(faulty) > _NAMED else ""
    named = "; ".join(f"{finding.tool}: {finding.told}" for finding in faulty[:_NAMED])
    return replace(outcome, error=CheckFailed(f"{named}{more}", f"invoke check {image}"))
