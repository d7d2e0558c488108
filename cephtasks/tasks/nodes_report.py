"""Nodes report: print what became of nodes, as a person or a program reads it."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from cephtasks import console
from cephtasks.node_list import named

if TYPE_CHECKING:
    from cephtasks.console import Bars
    from cephtasks.nodes import Fleet, Outcome, Pulled, Target


def pulling(wanted: "Target", fleet: "Fleet") -> None:
    """What nodes are about to pull, and a warning where that cannot be meant."""
    console.say(f"{wanted.reference} is {wanted.digest}")
    strangers = fleet.strangers_to(wanted.reference.registry)
    if strangers:
        console.warn(f"each looks for {wanted.reference.registry} on its own host: {named(strangers)}")


def pull_ended(bars: "Bars") -> "Callable[[Outcome[Any]], None]":
    """What tells, as each node ends, what became of it, and takes its bar away."""

    def tell(outcome: "Outcome[Any]") -> None:
        bars.remove(outcome.node.name)
        console.say(f"{outcome.node}: {_pulled_or_failed(outcome)}")

    return tell


def pulled(wanted: "Target", outcomes: "Sequence[Outcome[Pulled]]", as_json: bool) -> None:
    """What each node fetched and how long it took."""
    if as_json:
        console.result_json({**wanted.document(), "nodes": [_document(outcome) for outcome in outcomes]})
        return
    rows = [
        (
            outcome.node.name,
            "failed" if outcome.error else "had it" if outcome.result and outcome.result.had else "pulled",
            console.size(outcome.result.fetched_bytes) if outcome.result else "",
            f"{outcome.seconds:.1f} s",
            outcome.error.fact if outcome.error else "",
        )
        for outcome in outcomes
    ]
    console.table(("node", "result", "fetched", "time", "detail"), rows)


def _document(outcome: "Outcome[Pulled]") -> dict[str, Any]:
    return {**outcome.document(), "fetched_bytes": outcome.result.fetched_bytes if outcome.result else None}


def _pulled_or_failed(outcome: "Outcome[Pulled]") -> str:
    if outcome.result is None:
        error = outcome.error
        return f"failed: {error.fact} ({error.hint})" if error else "failed"
    if outcome.result.had:
        return "has it already"
    return f"pulled {console.size(outcome.result.fetched_bytes)} in {outcome.seconds:.1f} s"
