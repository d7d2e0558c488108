"""Goals: say what an image is to hold, given its base and an install tree."""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

from cephtasks.errors import TreeInvalid
from cephtasks.tree import LAYER_INDEX, Entry, Index, Kind, follow, overlay, parents, resolve


@dataclass(frozen=True)
class Goal:
    """The files that the image is to hold: those of the base, with the tree laid over them.

    `moved` names, for each path where the base's symlinks led what the tree brings, the tree's path.
    `links` names, for each file with more than one name in the tree, all its names in the image, sorted.
    `changed` are the paths where the image is to differ from its base.
    """

    files: Index
    tree: Index
    moved: Mapping[str, str]
    links: Mapping[str, tuple[str, ...]]
    changed: Set[str]

    def source(self, path: str) -> str | None:
        """The tree's path of what the tree brings to a path; None for what the base holds."""
        return self.moved.get(path) or (path if path in self.tree else None)


def lay(base: Index, tree: Index) -> Goal:
    """Lay a tree over a base.

    The base is an index as `flatten` gives it. Every path of the tree goes where the base's symlinks
    lead: `lib/libceph.so` to `usr/lib/libceph.so` on a usr-merged base. Folders that the base has keep
    its owner and mode; an entry of another type replaces what the base has, a folder with all that is
    in it. Raises TreeInvalid where the tree says two things of one path, or holds what no layer can.
    """
    entries, moved, links = _lay(base, tree)
    files = dict(base)
    changed = overlay(files, entries)
    changed.difference_update([path for path in changed if files.get(path) == base.get(path)])
    return Goal(files, tree, moved, links, changed)


def _lay(
    base: Index, tree: Index
) -> tuple[Sequence[Entry], Mapping[str, str], Mapping[str, tuple[str, ...]]]:
    """What the tree brings, with the folders above it, and a goal's `moved` and `links`."""
    placed, moved = _place(base, tree)
    return (*_parents_of(placed, base), *placed.values()), moved, _links(placed, moved, tree)


def _place(base: Index, tree: Index) -> tuple[Mapping[str, Entry], Mapping[str, str]]:
    """By their paths in the image, the entries, hard links as files; and a goal's `moved`."""
    placed: dict[str, Entry] = {}
    moved: dict[str, str] = {}
    folders = {"": ""}
    for path in sorted(tree):
        entry = tree[path]
        if path == LAYER_INDEX:
            continue
        real = _real_path(path, entry, base, folders)
        if entry.kind is Kind.FOLDER and (not real or _is_folder(real, base)):
            continue
        there = _moved(tree[entry.target] if entry.kind is Kind.HARDLINK else entry, real)
        if placed.get(real, there) != there:
            raise _ambiguous(real, moved.get(real, real), path)
        if real not in placed:
            placed[real] = there
            if real != path:
                moved[real] = path
    for path in placed:
        for parent in parents(path):
            if parent in placed and placed[parent].kind is not Kind.FOLDER:
                raise _ambiguous(parent, moved.get(parent, parent), moved.get(path, path))
    return placed, moved


def _real_path(path: str, entry: Entry, base: Index, folders: dict[str, str]) -> str:
    """Where a path lies in the base: links among its parents are followed, and a folder's own link too."""
    parent, _, name = path.rpartition("/")
    if parent not in folders:
        folders[parent] = _real_folder(parent, base)
    above = folders[parent]
    real = f"{above}/{name}" if above else name
    return _real_folder(real, base) if entry.kind is Kind.FOLDER else real


def _real_folder(path: str, base: Index) -> str:
    return resolve(f"{path}/_", base).rpartition("/")[0]


def _is_folder(path: str, base: Index) -> bool:
    there = follow(path, base)
    return there is not None and there.kind is Kind.FOLDER


def _moved(entry: Entry, path: str) -> Entry:
    if entry.path == path:
        return entry
    return Entry(path, entry.kind, entry.mode, entry.size, entry.sha256, entry.target, entry.uid, entry.gid)


def _parents_of(placed: Mapping[str, object], base: Index) -> Iterator[Entry]:
    """The folders that the tree does not bring, as the base has them."""
    for folder in {parent for path in placed for parent in parents(path)} - placed.keys():
        there = base.get(folder)
        yield there if there is not None and there.kind is Kind.FOLDER else Entry(folder, Kind.FOLDER)


def _links(placed: Iterable[str], moved: Mapping[str, str], tree: Index) -> Mapping[str, tuple[str, ...]]:
    linked = {entry.target for entry in tree.values() if entry.kind is Kind.HARDLINK}
    names: dict[str, list[str]] = {}
    for path in sorted(placed) if linked else ():
        source = moved.get(path, path)
        first = tree[source].target if tree[source].kind is Kind.HARDLINK else source
        if first in linked:
            names.setdefault(first, []).append(path)
    return {path: tuple(group) for group in names.values() if len(group) > 1 for path in group}


def _ambiguous(path: str, one: str, other: str) -> TreeInvalid:
    return TreeInvalid(
        f"{one} and {other} are both /{path} in the base image, and differ",
        f"remove one of them from the tree, or pack on a base without a link to /{path}",
    )
