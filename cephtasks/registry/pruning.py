"""Pruning: decide which tags and manifests of a repository go, by age and by name."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

from cephtasks.keep_rules import KeepRules
from cephtasks.registry.contents import Contents


@dataclass(frozen=True)
class Verdict:
    """A tag, what it names, when that was made, and why it stays; it goes where there is no reason."""

    tag: str
    digest: str
    created: datetime | None
    reason: str


@dataclass(frozen=True)
class Prune:
    """What is to be done in a repository: tags to take away alone, and manifests to delete, in this order.

    `verdicts` has all tags, the newest first; `bytes` are those of blobs that nothing else has.
    """

    repository: str
    verdicts: tuple[Verdict, ...]
    tags: tuple[str, ...]
    manifests: tuple[str, ...]
    bytes: int

    @property
    def going(self) -> tuple[Verdict, ...]:
        """The tags that go, by themselves or with what they name."""
        return tuple(verdict for verdict in self.verdicts if not verdict.reason)

    def document(self, done: bool) -> dict[str, Any]:
        """The decision as `registry.prune --json` prints it, and whether it was carried out."""
        told = [
            {
                "tag": each.tag,
                "digest": each.digest,
                "created": each.created.isoformat() if each.created else None,
                "kept": each.reason or None,
            }
            for each in self.verdicts
        ]
        return {
            "repository": self.repository,
            "tags": told,
            "manifests": list(self.manifests),
            "bytes": self.bytes,
            "done": done,
        }


def decide(held: Contents, created: Mapping[str, datetime], rules: KeepRules, now: datetime) -> Prune:
    """What goes of a repository; `created` tells by digest when images were made, where that is known.

    A manifest that a kept tag names, or a kept index, stays; of what it shares with others only the tag
    goes. With an index go the manifests that it alone names. What has no age is kept.
    """
    by_age = sorted(created.keys() & set(held.tags.values()), key=lambda digest: (created[digest], digest))
    newest = frozenset(by_age[-rules.newest :]) if rules.newest else frozenset()
    verdicts = [
        Verdict(tag, digest, created.get(digest), _reason(tag, digest, newest, created, rules, now))
        for tag, digest in held.tags.items()
    ]
    kept = _closure(held, (verdict.digest for verdict in verdicts if verdict.reason))
    going = [verdict for verdict in verdicts if not verdict.reason]
    gone = [digest for digest in _closure(held, (verdict.digest for verdict in going)) if digest not in kept]
    ranks = {digest: rank for rank, digest in enumerate(by_age)}
    return Prune(
        held.repository,
        tuple(sorted(verdicts, key=lambda verdict: (-ranks.get(verdict.digest, -1), verdict.tag))),
        tuple(verdict.tag for verdict in going if verdict.digest in kept),
        tuple(gone),
        held.bytes - held.only(kept).bytes,
    )


def _reason(
    tag: str,
    digest: str,
    newest: frozenset[str],
    created: Mapping[str, datetime],
    rules: KeepRules,
    now: datetime,
) -> str:
    """Why a tag stays, or nothing."""
    if digest in newest:
        return f"one of the newest {rules.newest}"
    for glob in rules.matching:
        if fnmatchcase(tag, glob):
            return f"matches {glob}"
    made = created.get(digest)
    if made is None:
        return "age not known"
    if rules.older_than is not None and made > now - rules.older_than:
        return "not that old"
    return ""


def _closure(held: Contents, digests: Iterable[str]) -> dict[str, None]:
    """The manifests, and those that indexes among them name; an index comes before what it names."""
    found: dict[str, None] = {}
    waiting = list(digests)
    while waiting:
        digest = waiting.pop(0)
        if digest in held.manifests and digest not in found:
            found[digest] = None
            waiting += [child.blob.digest for child in held.manifests[digest].children]
    return found
