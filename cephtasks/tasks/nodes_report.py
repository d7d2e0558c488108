"""Nodes report: print what became of nodes, as a person or a program reads it."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from cephtasks import console
from cephtasks.node_list import named

if TYPE_CHECKING:
    from cephtasks.console import Bars
    from cephtasks.findings import Finding
    from cephtasks.nodes import Access, Fleet, Outcome, Pulled, Standing, Superseded, Target
    from cephtasks.reference import Reference


def pulling(wanted: "Target", fleet: "Fleet") -> None:
    """What nodes are about to pull, and a warning where that cannot be meant."""
    console.say(f"{wanted.reference} is {wanted.digest}")
    warn_strangers(wanted.reference, fleet)


def warn_strangers(reference: "Reference", fleet: "Fleet") -> None:
    """A warning where nodes look for the registry on themselves, which cannot be meant."""
    strangers = fleet.strangers_to(reference.registry)
    if strangers:
        console.warn(f"each looks for {reference.registry} on its own host: {named(strangers)}")


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


def standing(
    reference: "Reference", wanted: "Target | None", outcomes: "Sequence[Outcome[Standing]]", as_json: bool
) -> None:
    """What each node has, and what a pull would fetch."""
    if as_json:
        digest = wanted.digest if wanted else None
        rest = [_with_result(outcome) for outcome in outcomes]
        console.result_json({"reference": str(reference), "digest": digest, "nodes": rest})
        return
    rows = []
    for outcome in outcomes:
        if found := outcome.result:
            has = found.digests.get(reference.tag or "")
            free = "" if found.free_bytes is None else console.size(found.free_bytes)
            row = (found.version, _had(has, wanted), free, _would_fetch(found))
            rows.append((outcome.node.name, *row, ""))
        else:
            rows.append((outcome.node.name, "", "", "", "", outcome.error.fact if outcome.error else ""))
    console.table(("node", "engine", str(reference.tag or reference), "free", "to fetch", "detail"), rows)


def checked(wanted: "Target", outcomes: "Sequence[Outcome[tuple[Finding, ...]]]", as_json: bool) -> None:
    """On which nodes all tools start."""
    if as_json:
        rest = [
            {**outcome.document(), "tools": [finding.document() for finding in outcome.result or ()]}
            for outcome in outcomes
        ]
        console.result_json({**wanted.document(), "nodes": rest})
        return
    rows = [
        (
            outcome.node.name,
            "not ok" if outcome.error else "ok",
            f"{outcome.seconds:.1f} s",
            outcome.error.fact if outcome.error else console.count(len(outcome.result or ()), "tool"),
        )
        for outcome in outcomes
    ]
    console.table(("node", "result", "time", "detail"), rows)


def pruned(outcomes: "Sequence[Outcome[Superseded]]", removed: bool, as_json: bool) -> None:
    """How many images of each node were replaced, and whether they are gone."""
    if as_json:
        rest = [_with_result(outcome) for outcome in outcomes]
        console.result_json({"removed": removed, "nodes": rest})
        return
    rows = [(outcome.node.name, *_replaced(outcome, removed)) for outcome in outcomes]
    console.table(("node", "replaced images", "detail"), rows)
    if not removed and any(outcome.result and outcome.result.digests for outcome in outcomes):
        console.say("nothing is removed without --yes")


def set_up(target: "Reference", outcomes: "Sequence[Outcome[Access]]", as_json: bool) -> None:
    """Which nodes can pull, and what the others need."""
    if as_json:
        rest = [
            {
                **outcome.document(),
                "access": outcome.result,
                "needs": outcome.error.hint if outcome.error else None,
            }
            for outcome in outcomes
        ]
        console.result_json({"registry": target.registry, "nodes": rest})
        return
    rows = [
        (outcome.node.name, outcome.result or "not ready", outcome.error.fact if outcome.error else "",
         outcome.error.hint if outcome.error else "")
        for outcome in outcomes
    ]  # fmt: skip
    console.table(("node", target.registry, "detail", "it needs"), rows)


def _with_result(outcome: "Outcome[Any]") -> dict[str, Any]:
    return {**outcome.document(), **(outcome.result.document() if outcome.result else {})}


def _had(digest: str | None, wanted: "Target | None") -> str:
    """What a node has by the tag, beside what the registry has."""
    if digest is None:
        return "none"
    short = digest.partition(":")[2][:12] or "not from a registry"
    return f"{short}, current" if wanted and digest == wanted.digest else short


def _would_fetch(found: "Standing") -> str:
    if found.fetch_bytes is None or found.fetch_layers is None:
        return "not known"
    if not found.fetch_bytes:
        return "nothing"
    return f"{console.size(found.fetch_bytes)}, {console.count(found.fetch_layers, 'layer')}"


def _replaced(outcome: "Outcome[Superseded]", removed: bool) -> tuple[str, str]:
    if outcome.result is None:
        return "", outcome.error.fact if outcome.error else ""
    gone = len(outcome.result.digests) - len(outcome.result.used)
    used = f"{len(outcome.result.used)} in use" if outcome.result.used else ""
    return (f"{gone} removed" if removed else str(gone)), used


def _document(outcome: "Outcome[Pulled]") -> dict[str, Any]:
    return {**outcome.document(), "fetched_bytes": outcome.result.fetched_bytes if outcome.result else None}


def _pulled_or_failed(outcome: "Outcome[Pulled]") -> str:
    if outcome.result is None:
        error = outcome.error
        return f"failed: {error.fact} ({error.hint})" if error else "failed"
    if outcome.result.had:
        return "has it already"
    return f"pulled {console.size(outcome.result.fetched_bytes)} in {outcome.seconds:.1f} s"
