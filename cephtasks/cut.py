"""Cuts: divide what must be written into layers that are made, sent and fetched side by side."""

import math
from collections.abc import Iterator, Sequence, Set

from cephtasks.components import Component, name_of, ranking
from cephtasks.goal import Goal
from cephtasks.stack import HEADER, NewLayer, Origin, Source, weight
from cephtasks.tree import Entry, Kind, parents, walk_order

# What is smaller is compressed in an eighth of a second, so to cut it would save less than a place in
# the stack is worth. What is larger is cut so that some cores, and the three downloads that an engine
# has under way, all have something to do. Each further layer costs every engine 50 ms, for it unpacks
# them one after the other; and with twice as many, what later edits rewrite is not less.
_ONE_LAYER = 64 << 20
_SHARES = 5

_Bundle = tuple[Entry, ...]  # what one tar must hold together: a file, and the hard links to it


def cut(goal: Goal, stale: Set[str], table: Sequence[Component], room: int) -> tuple[NewLayer, ...]:
    """The layers, bottom first, that bring the stale paths of a stack to the goal; at most `room`.

    They are filled component by component, what changes least at the bottom. A layer ends where it
    has its share of all bytes, or half of that and a component ends, if half a share is left.
    """
    left = cost(goal, stale)
    share = _share(left, room)
    layers: list[tuple[list[str], list[Entry]]] = []
    filled = 0
    for component, path in _in_order(goal, stale, table):
        enough = share if layers and component in layers[-1][0] else share / 2
        if not layers or (filled >= enough and left >= share / 2):
            layers.append(([], []))
            filled = 0
        components, entries = layers[-1]
        if component not in components:
            components.append(component)
        bundle = _bundle(goal, path)
        entries += bundle
        filled += _bytes(bundle)
        left -= _bytes(bundle)
    return tuple(_layer(goal, components, entries) for components, entries in layers)


def cost(goal: Goal, stale: Set[str]) -> int:
    """What weighs all that must be written for the stale paths, in bytes before compression."""
    groups = (names for names in _groups(goal, stale) if names[0] in goal.files)
    return sum(weight(goal.files[first]) + HEADER * len(others) for first, *others in groups)


def most_layers(total: int, room: int) -> int:
    """How many layers `cut` makes at most of so many bytes."""
    return 1 if math.isinf(_share(total, room)) else 2 * _shares(room)


def _share(total: int, room: int) -> float:
    return total / _shares(room) if total > _ONE_LAYER and _shares(room) else math.inf


def _shares(room: int) -> int:
    return max(0, min(_SHARES, room // 2))


def _groups(goal: Goal, stale: Set[str]) -> Iterator[tuple[str, ...]]:
    """The stale paths, each with the other names of its file: a tar links only to what it holds itself."""
    for path in stale:
        names = goal.links.get(path)
        if names is None:
            yield (path,)
        elif path == min(name for name in names if name in stale):
            yield names


def _in_order(goal: Goal, stale: Set[str], table: Sequence[Component]) -> Iterator[tuple[str, str]]:
    """The component and first path of each bundle; not of folders that come anyway with what is in them."""
    firsts = sorted(
        names[0]
        for names in _groups(goal, stale)
        if names[0] in goal.files or _needs_whiteout(goal, names[0])
    )
    above = {parent for path in firsts for parent in parents(path)}
    rank = ranking(table)
    parts: dict[int, list[str]] = {}
    for path in firsts:
        if path not in above:
            parts.setdefault(rank(path), []).append(path)
    return ((name_of(table, number), path) for number in sorted(parts) for path in parts[number])


def _bundle(goal: Goal, first: str) -> _Bundle:
    """What to write for a path.

    None is written and deleted in one layer: engines with overlay2 keep one of the two, or refuse the layer.
    """
    entry = goal.files.get(first)
    if entry is None:
        return (Entry(first, Kind.WHITEOUT),)
    return (entry, *(_link(other, entry) for other in goal.links.get(first, (first,))[1:]))


def _needs_whiteout(goal: Goal, gone: str) -> bool:
    """Not where its folder goes too, or becomes a file or a link: that hides all that was in it."""
    parent = gone.rpartition("/")[0]
    there = goal.files.get(parent)
    return not parent or (there is not None and there.kind is Kind.FOLDER)


def _link(name: str, first: Entry) -> Entry:
    return Entry(name, Kind.HARDLINK, first.mode, target=first.path, uid=first.uid, gid=first.gid)


def _source(goal: Goal, entry: Entry) -> Source | None:
    brought = goal.source(entry.path)
    if entry.kind is not Kind.FILE or brought == entry.path:
        return None
    return Source(Origin.BASE, entry.path) if brought is None else Source(Origin.TREE, brought)


def _layer(goal: Goal, components: Sequence[str], entries: Sequence[Entry]) -> NewLayer:
    # An engine would make parents up that the tar does not name, with an owner and mode of its own.
    above = {parent for entry in entries for parent in parents(entry.path)}
    folders = [goal.files[parent] for parent in above.difference(entry.path for entry in entries)]
    sources = ((entry.path, _source(goal, entry)) for entry in entries)
    return NewLayer(
        ", ".join(components),
        tuple(sorted([*folders, *entries], key=_tar_order)),
        {path: source for path, source in sources if source},
    )


def _tar_order(entry: Entry) -> tuple[bool, str]:
    """A folder just before what is in it, files before the hard links to them."""
    return entry.kind is Kind.HARDLINK, walk_order(entry.path)


def _bytes(bundle: _Bundle) -> int:
    return sum(map(weight, bundle))
