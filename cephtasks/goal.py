"""Goals: say what an image is to hold, given its base and an install tree."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from cephtasks.errors import TreeInvalid
from cephtasks.tree import LAYER_INDEX, Entry, Index, Kind, follow, overlay, parents, resolve


@dataclass(frozen=True)
class Goal:
    """The files that the image is to hold: those of the base, with the tree laid over them.

    `sources` names, for each path that the tree brings, the tree's path. `links` names, for each file
    with more than one name in the tree, all its names in the image, sorted. `changed` are the paths
    where the image is to differ from its base.
    """

    files: Index
    sources: Mapping[str, str]
    links: Mapping[str, tuple[str, ...]]
    changed: frozenset[str]


def lay(base: Index, tree: Index) -> Goal:
    """Lay a tree over a base.

    The base is an index as `flatten` gives it. Every path of the tree goes where the base's symlinks
    lead: `lib/libceph.so` to `usr/lib/libceph.so` on a usr-merged base. Folders that the base has keep
    its owner and mode; an entry of another type replaces what the base has, a folder with all that is
    in it. Raises TreeInvalid where the tree says two things of one path, or holds what no layer can.
    """
    placed = _place(base, tree)
    files = dict(base)
    touched = overlay(files, (*_parents_of(placed, base), *(entry for entry, _ in placed.values())))
    changed = frozenset(path for path in touched if files.get(path) != base.get(path))
    sources = {path: source for path, (_, source) in placed.items()}
    return Goal(files, sources, _links(placed, tree), changed)


def _place(base: Index, tree: Index) -> dict[str, tuple[Entry, str]]:
    """Image path to the entry there, hard links as files, and the path of the tree that it comes from."""
    placed: dict[str, tuple[Entry, str]] = {}
    folders = {"": ""}
    for path, entry in sorted(tree.items()):
        if path == LAYER_INDEX:
            continue
        real = _real_path(path, entry, base, folders)
        if entry.kind is Kind.FOLDER and (not real or _is_folder(real, base)):
            continue
        there = _moved(tree[entry.target] if entry.kind is Kind.HARDLINK else entry, real)
        other, source = placed.setdefault(real, (there, path))
        if other != there:
            raise _ambiguous(real, source, path)
    for path, (_, source) in placed.items():
        for parent in parents(path):
            if parent in placed and placed[parent][0].kind is not Kind.FOLDER:
                raise _ambiguous(parent, placed[parent][1], source)
    return placed


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


def _links(placed: Mapping[str, tuple[Entry, str]], tree: Index) -> dict[str, tuple[str, ...]]:
    names: dict[str, list[str]] = {}
    for path, (_, source) in sorted(placed.items()):
        entry = tree[source]
        if entry.kind in (Kind.FILE, Kind.HARDLINK):
            names.setdefault(entry.target or source, []).append(path)
    return {path: tuple(group) for group in names.values() if len(group) > 1 for path in group}


def _ambiguous(path: str, one: str, other: str) -> TreeInvalid:
    return TreeInvalid(
        f"{one} and {other} are both /{path} in the base image, and differ",
        f"remove one of them from the tree, or pack on a base without a link to /{path}",
    )
