"""Plans: decide which entries a new layer needs, given what lies below it."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from cephtasks.errors import TreeInvalid
from cephtasks.tree import Entry, Index, Kind, follow, parents, resolve

_FOLDER_MODE = 0o755


@dataclass(frozen=True)
class Write:
    """One entry of a new layer, and the path in the tree where its content is found."""

    entry: Entry
    source: str


@dataclass(frozen=True)
class Plan:
    """The entries of a new layer in the order of its tar: every folder before what it holds."""

    writes: tuple[Write, ...]
    already_there: int

    @property
    def content_bytes(self) -> int:
        """Bytes of file content that the layer will hold."""
        return sum(write.entry.size for write in self.writes)


def plan(below: Index, tree: Index) -> Plan:
    """The layer that turns an image's files into those files plus the tree.

    Paths are resolved through the symlinks below; what is there already, byte for byte, is left
    out; folders that are there keep their owner and mode. Raises TreeInvalid where two paths of the
    tree fall on one path of the image with different content.
    """
    placed = _place(below, tree)
    changed = {path: write for path, write in placed.items() if not _same(write.entry, below, placed)}
    changed |= _broken_hardlinks(changed, placed)
    folders = _parents_of(changed, below, placed)
    writes = sorted((folders | changed).values(), key=lambda write: _tar_order(write.entry))
    return Plan(tuple(writes), len(placed) - len(changed))


def _place(below: Index, tree: Index) -> dict[str, Write]:
    placed: dict[str, Write] = {}
    for path, entry in tree.items():
        real = resolve(path, below)
        if entry.kind is Kind.FOLDER and _is_folder(real, below):
            continue
        target = resolve(entry.target, below) if entry.kind is Kind.HARDLINK else entry.target
        write = Write(replace(entry, path=real, target=target), path)
        other = placed.setdefault(real, write)
        if not _alike(other.entry, write.entry):
            raise TreeInvalid(
                f"{other.source} and {path} are both /{real} in the base image, and differ",
                f"remove one of them from the tree, or pack on a base without the link at /{path}",
            )
    return placed


def _is_folder(path: str, below: Index) -> bool:
    there = follow(path, below)
    return there is not None and there.kind is Kind.FOLDER


def _same(entry: Entry, below: Index, placed: dict[str, Write]) -> bool:
    there = below.get(entry.path)
    if there is None:
        return False
    if entry.kind is Kind.HARDLINK and there.kind is Kind.FILE:
        return _alike(replace(placed[entry.target].entry, path=entry.path), there)
    return _alike(entry, there) and (there.uid, there.gid) == (entry.uid, entry.gid)


def _alike(one: Entry, other: Entry) -> bool:
    return (one.kind, one.mode, one.sha256, one.target) == (
        other.kind,
        other.mode,
        other.sha256,
        other.target,
    )


def _broken_hardlinks(changed: dict[str, Write], placed: dict[str, Write]) -> dict[str, Write]:
    """A link and what it links to travel together: a tar can only link to what it holds itself."""
    groups: dict[str, list[Write]] = {}
    for write in placed.values():
        if write.entry.kind is Kind.HARDLINK:
            groups.setdefault(write.entry.target, []).append(write)
    together: dict[str, Write] = {}
    for target, links in groups.items():
        members = [placed[target], *links]
        if any(member.entry.path in changed for member in members):
            together |= {member.entry.path: member for member in members}
    return together


def _parents_of(changed: Iterable[str], below: Index, placed: dict[str, Write]) -> dict[str, Write]:
    """Folder entries for every parent, as they are below: an engine would make them up otherwise."""
    folders: dict[str, Write] = {}
    for path in changed:
        for parent in parents(path):
            if parent in folders or parent in placed:
                continue
            there = below.get(parent)
            known = there is not None and there.kind is Kind.FOLDER
            folder = there if there is not None and known else Entry(parent, Kind.FOLDER, _FOLDER_MODE)
            folders[parent] = Write(folder, "")
    return folders


def _tar_order(entry: Entry) -> tuple[bool, list[str]]:
    return entry.kind is Kind.HARDLINK, entry.path.split("/")
