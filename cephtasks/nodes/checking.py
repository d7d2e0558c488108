"""Checking: start the tools of an image on the nodes themselves."""

import threading
from collections.abc import Sequence

from cephtasks import tools
from cephtasks.engine import Engine
from cephtasks.errors import CheckFailed
from cephtasks.findings import Finding
from cephtasks.node_list import Node
from cephtasks.nodes.fleet import Fleet, OnEnd, Outcome
from cephtasks.nodes.pulls import Target

_GRACE = 10.0  # seconds to take containers away after Ctrl-C
_NAMED = 3  # of the tools that do not start


def check(
    fleet: Fleet, wanted: Target, names: Sequence[str], required: bool, on_end: OnEnd
) -> list[Outcome[tuple[Finding, ...]]]:
    """Start tools of the image on every node; a node where one does not start has failed.

    Where tools are `required` the image must have each of them.
    """

    def act(node: Node, engine: Engine, stop: threading.Event) -> tuple[Finding, ...]:
        image = str(wanted.by_digest)
        engine.require_image(image, "invoke nodes.pull")
        findings = tools.start(image, names, engine, required)
        if faulty := [finding for finding in findings if not finding.ok]:
            more = f" and {len(faulty) - _NAMED} more" if len(faulty) > _NAMED else ""
            named = "; ".join(f"{finding.tool}: {finding.told}" for finding in faulty[:_NAMED])
            raise CheckFailed(f"{named}{more}", f"invoke check {wanted.by_digest}")
        return findings

    return fleet.visit(act, on_end, _GRACE)
