"""Registry report: print what registries hold, as a person or a program reads it."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from cephtasks import console

if TYPE_CHECKING:
    from cephtasks.difference import Difference
    from cephtasks.document import Document
    from cephtasks.reference import Reference
    from cephtasks.registry.copying import Copied
    from cephtasks.registry.inspection import Inspected
    from cephtasks.registry.pruning import Prune
    from cephtasks.registry.usage import Usage
    from cephtasks.tree import Entry


def tags(named: "Reference", found: Sequence[str], as_json: bool) -> None:
    """The tags of a repository, one a line."""
    if as_json:
        console.result_json({"name": named.name, "tags": list(found)})
        return
    for tag in found:
        console.result(tag)


def inspected(found: "Inspected", as_json: bool) -> None:
    """What a name means: its digest, what the config says, and the layers or manifests."""
    if as_json:
        console.result_json(found.document())
        return
    console.result(str(found.reference))
    console.table(("what", "value"), list(_facts(found)))
    if found.index:
        console.table(("platform", "manifest", "type"), list(_manifests(found.index)))
    if found.manifest:
        rows = [(layer.digest, console.size(layer.size), layer.media_type) for layer in found.manifest.layers]
        caption = f"{console.count(len(rows), 'layer')}, {console.size(found.bytes)} in all"
        console.table(("layer", "size", "type"), rows, caption)


def usage(found: "Usage", as_json: bool) -> None:
    """The bytes of each repository, and of all."""
    if as_json:
        console.result_json(found.document())
        return
    rows = [
        (
            share.repository,
            str(share.tags),
            console.size(share.bytes),
            console.size(share.shared_bytes) if share.shared_bytes else "",
        )
        for share in found.shares
    ]
    if rows:
        console.table(("repository", "tags", "size", "shared"), rows)
    several = "1 repository" if len(rows) == 1 else f"{len(rows)} repositories"
    console.result(f"{several}: {console.size(found.bytes)}, what is shared counted once")


def copied(done: "Copied", as_json: bool) -> None:
    """The name and digest of a copy, after what had to be sent."""
    if as_json:
        console.result_json(done.document())
        return
    counts = Counter(blob.status for blob in done.blobs)
    told = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
    console.say(f"sent {console.size(done.uploaded_bytes)} in {done.seconds:.1f} s; blobs: {told or 'none'}")
    console.result(done.by_digest)


def prune(decided: "Prune") -> None:
    """The tags of a repository, the newest first, and which of them go."""
    rows = [
        (
            verdict.tag,
            f"{verdict.created:%Y-%m-%d %H:%M}" if verdict.created else "",
            verdict.digest.removeprefix("sha256:")[:12],
            f"stays: {verdict.reason}" if verdict.reason else "goes",
        )
        for verdict in decided.verdicts
    ]
    console.table(("tag", "created", "digest", ""), rows)
    gone = f"{console.count(len(decided.going), 'tag')}, {console.count(len(decided.manifests), 'manifest')}"
    console.result(f"{gone} to go, with {console.size(decided.bytes)} that nothing else has")


def difference(found: "Difference", as_json: bool) -> None:
    """Files that changed from one image to another, and what a node fetches for that."""
    if as_json:
        console.result_json(found.document())
        return
    kinds = (("added", found.added), ("removed", found.removed), ("changed", found.changed))
    rows = [
        (kind, f"/{change.path}", _size(change.before), _size(change.after))
        for kind, changes in kinds
        for change in changes
    ]
    if rows:
        console.table(("what", "path", "before", "after"), rows)
    if found.unread:
        unread = console.count(len(found.unread), "layer")
        console.say(f"{unread} not read: a file that replaces one of theirs counts as added")
    counts = ", ".join(f"{len(changes)} {kind}" for kind, changes in kinds)
    console.result(f"{counts}; a node fetches {console.size(found.fetched_bytes)}")


def _size(entry: "Entry | None") -> str:
    return console.size(entry.size) if entry else ""


def _facts(found: "Inspected") -> Iterator[tuple[str, str]]:
    yield "digest", found.named.digest
    yield "type", found.named.media_type
    if found.index and found.manifest:
        yield "manifest", found.manifest.digest
    config: dict[str, Any] = found.config or {}
    yield from (
        (name, str(config[name])) for name in ("os", "architecture", "variant", "created") if config.get(name)
    )
    run = config.get("config") or {}
    command = [*(run.get("Entrypoint") or ()), *(run.get("Cmd") or ())]
    if command:
        yield "command", " ".join(command)
    yield from ((f"label {name}", str(text)) for name, text in sorted((run.get("Labels") or {}).items()))


def _manifests(index: "Document") -> Iterator[tuple[str, str, str]]:
    for child in index.children:
        yield str(child.platform or ""), child.blob.digest, child.blob.media_type
