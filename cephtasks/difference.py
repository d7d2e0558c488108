"""Differences: tell what changed from one image to another, as its files and as a node's downloads."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from cephtasks.oci import Descriptor, Image, Layer
from cephtasks.tree import Entry, Index, flatten

FilesOf = Callable[[Layer], Sequence[Entry] | None]  # a layer's entries; None where they are not to be had


@dataclass(frozen=True)
class Change:
    """One path that is not the same in two images; `before` or `after` is None where it is not there."""

    before: Entry | None
    after: Entry | None

    @property
    def path(self) -> str:
        """Where it lies, relative to the image's root."""
        return next(entry.path for entry in (self.before, self.after) if entry)

    def document(self) -> dict[str, Any]:
        """The change as `registry.diff --json` prints it."""
        return {"path": self.path, "before": _told(self.before), "after": _told(self.after)}


@dataclass(frozen=True)
class Difference:
    """What changed from image A to image B, by path, and the blobs that a node with A fetches for B.

    Where layers are `unread`, what lies in them is not known: a file that replaces one of theirs counts
    as added, and one of theirs that was taken away does not show.
    """

    added: Sequence[Change]
    removed: Sequence[Change]
    changed: Sequence[Change]
    fetched: Sequence[Descriptor]
    unread: Sequence[Layer]

    @property
    def fetched_bytes(self) -> int:
        """The bytes of the blobs that are fetched, as they go over the wire."""
        return sum(blob.size for blob in self.fetched)

    def document(self) -> dict[str, Any]:
        """The difference as `registry.diff --json` prints it; sizes in bytes."""
        return {
            "added": [change.document() for change in self.added],
            "removed": [change.document() for change in self.removed],
            "changed": [change.document() for change in self.changed],
            "fetched": [{"digest": blob.digest, "size": blob.size} for blob in self.fetched],
            "fetched_bytes": self.fetched_bytes,
            "unread": [item.blob.digest for item in self.unread],
        }


def compare(a: Image, b: Image, files_of: FilesOf) -> Difference:
    """What changed from image A to image B; `files_of` is asked once for each layer that they have.

    Raises what `files_of` raises.
    """
    layers = {item.diff_id: item for item in (*a.layers, *b.layers)}
    files = {diff_id: files_of(item) for diff_id, item in layers.items()}
    found = changes(_seen(a, files), _seen(b, files))
    return Difference(
        added=tuple(change for change in found if change.before is None),
        removed=tuple(change for change in found if change.after is None),
        changed=tuple(change for change in found if change.before and change.after),
        fetched=fetched(a, b),
        unread=tuple(item for diff_id, item in layers.items() if files[diff_id] is None),
    )


def changes(a: Index, b: Index) -> Sequence[Change]:
    """The paths that are not the same in two trees, sorted."""
    pairs = ((a.get(path), b.get(path)) for path in sorted(a.keys() | b.keys()))
    return tuple(Change(before, after) for before, after in pairs if before != after)


def fetched(a: Image, b: Image) -> Sequence[Descriptor]:
    """The blobs of B that an engine fetches which has pulled A and nothing else, config first.

    It has a layer when it has all that is below too, and knows that from the blobs' digests: the same
    files compressed otherwise are fetched. So is all above the first layer that it lacks, and a blob that
    occurs twice once.
    """
    if a.id == b.id:
        return ()
    pairs = zip(a.layers, b.layers, strict=False)
    had = sum(1 for _ in takewhile(lambda pair: pair[0].blob.digest == pair[1].blob.digest, pairs))
    wanted = [b.config_blob, *(item.blob for item in b.layers[had:])]
    return tuple({blob.digest: blob for blob in wanted}.values())


def _seen(image: Image, files: Mapping[str, Sequence[Entry] | None]) -> Index:
    return flatten(files[diff_id] or () for diff_id in image.diff_ids)


def _told(entry: Entry | None) -> dict[str, Any] | None:
    if entry is None:
        return None
    told = {"kind": str(entry.kind), "mode": f"{entry.mode:04o}", "size": entry.size}
    return {**told, "target": entry.target} if entry.target else told
