"""Stacks: the layers that lie above a base, written and yet to be written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from cephtasks.tree import Entry, Index, Kind, overlay

HEADER = 512  # bytes that a tar spends on an entry beside its content
_WITH_NAME = (Kind.FILE, Kind.SYMLINK, Kind.HARDLINK)


@dataclass(frozen=True)
class StackLayer:
    """A layer of ours: what it was cut for, its entries in the order of its tar, and its blob's bytes."""

    component: str
    entries: tuple[Entry, ...]
    blob_bytes: int = 0


class Origin(StrEnum):
    """Which of two places holds a file's content."""

    TREE = "tree"
    BASE = "base"


@dataclass(frozen=True, slots=True)
class Source:
    """Where a file's content is found: under a path of the new tree, or of the base image.

    What the base holds is written once more where a layer that is kept hides it.
    """

    origin: Origin
    path: str


@dataclass(frozen=True)
class NewLayer:
    """A layer to write: what it was cut for, and its entries in the order of its tar.

    `sources` tells by their paths where the files are whose content is not that of the tree's own path.
    """

    component: str
    entries: tuple[Entry, ...]
    sources: Mapping[str, Source]

    @property
    def content_bytes(self) -> int:
        """Bytes of file content that the layer will hold."""
        return sum(entry.size for entry in self.entries)


@dataclass(frozen=True)
class Share:
    """What one layer holds: files, bytes of content, how many of those no container sees, blob bytes."""

    component: str
    files: int
    content_bytes: int
    shadowed_bytes: int
    blob_bytes: int


def weight(entry: Entry) -> int:
    """What an entry adds to a layer, in bytes before compression.

    Folders and whiteouts weigh nothing: no rewrite could save them.
    """
    return HEADER + entry.size if entry.kind in _WITH_NAME else 0


def shares(base: Index, stack: Sequence[StackLayer]) -> tuple[Share, ...]:
    """What each layer of a stack holds, bottom first, and how much of that a container still sees.

    Shadowed is what a layer above replaces or hides, and what the base holds just so.
    """
    seen = dict(base)
    owners: dict[str, int] = {}
    for number, layer in enumerate(stack):
        owners.update(dict.fromkeys(overlay(seen, layer.entries), number))
    shown: list[set[str]] = [set() for _ in stack]
    for path, number in owners.items():
        if path in seen and seen[path] != base.get(path):
            shown[number].add(path)
    return tuple(_share(layer, paths) for layer, paths in zip(stack, shown, strict=True))


def _share(layer: StackLayer, shown: set[str]) -> Share:
    named = [entry for entry in layer.entries if entry.kind in _WITH_NAME]
    # A content is seen as long as one of its names is.
    seen = {
        entry.target if entry.kind is Kind.HARDLINK else entry.path for entry in named if entry.path in shown
    }
    shadowed = sum(entry.size for entry in named if entry.path not in seen)
    return Share(layer.component, len(named), sum(entry.size for entry in named), shadowed, layer.blob_bytes)
