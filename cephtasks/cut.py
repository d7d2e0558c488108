"""Cuts: divide what must be written into layers that are made, sent and fetched side by side."""

import math
from collections.abc import Iterator, Sequence, Set

from cephtasks.components import Component, name_of, ranking
from cephtasks.goal import Goal
from cephtasks.stack import HEADER, NewLayer, Origin, Source, Write, weight
from cephtasks.tree import Entry, Kind, parents

# What is smaller is compressed in an eighth of a second, so to cut it would save less than a place in
# the stack is worth. What is larger is cut so that some cores, and the three downloads that an engine
# has under way, all have something to do. Each further layer costs every engine 50 ms, for it unpacks
# them one after the other; and with twice as many, what later edits rewrite is not less.
_ONE_LAYER = 64 << 20
_SHARES = 5

_Bundle = tuple[Write, ...]  # what one tar must hold together: a file, and the hard links to it


def cut(goal: Goal, stale: Set[str], table: Sequence[Component], room: int) -> tuple[NewLayer, ...]:
    """The layers, bottom first, that bring the stale paths of a stack to the goal; at most `room`.

    They are filled component by component, what changes least at the bottom. A layer ends where it
    has its share of all bytes, or half of that and a component ends, if half a share is left.
    """
    rank = ranking(table)
    bundles = sorted((rank(path), path, bundle) for path, bundle in _bundles(goal, stale).items())
    left = sum(_bytes(bundle) for _, _, bundle in bundles)
    share = _share(left, room)
    layers: list[dict[int, list[_Bundle]]] = []
    filled = 0
    for number, _, bundle in bundles:
        enough = share if layers and number in layers[-1] else share / 2
        if not layers or (filled >= enough and left >= share / 2):
            layers.append({})
            filled = 0
        layers[-1].setdefault(number, []).append(bundle)
        filled += _bytes(bundle)
        left -= _bytes(bundle)
    return tuple(_layer(goal, parts, table) for parts in layers)


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


def _bundles(goal: Goal, stale: Set[str]) -> dict[str, _Bundle]:
    """What to write, by its first path; not folders that come anyway with what is in them.

    A path is never written and deleted in one layer: engines with overlay2 keep one of the two, or
    refuse the layer.
    """
    bundles: dict[str, _Bundle] = {}
    for name, *others in _groups(goal, stale):
        entry = goal.files.get(name)
        if entry is not None:
            links = (Write(_link(other, entry)) for other in others)
            bundles[name] = (Write(entry, _source(goal, entry)), *links)
        elif _needs_whiteout(goal, name):
            bundles[name] = (Write(Entry(name, Kind.WHITEOUT)),)
    above = {parent for path in bundles for parent in parents(path)}
    return {path: bundle for path, bundle in bundles.items() if path not in above}


def _needs_whiteout(goal: Goal, gone: str) -> bool:
    """Not where its folder goes too, or becomes a file or a link: that hides all that was in it."""
    parent = gone.rpartition("/")[0]
    there = goal.files.get(parent)
    return not parent or (there is not None and there.kind is Kind.FOLDER)


def _link(name: str, first: Entry) -> Entry:
    return Entry(name, Kind.HARDLINK, first.mode, target=first.path, uid=first.uid, gid=first.gid)


def _source(goal: Goal, entry: Entry) -> Source | None:
    if entry.kind is not Kind.FILE:
        return None
    if entry.path in goal.sources:
        return Source(Origin.TREE, goal.sources[entry.path])
    return Source(Origin.BASE, entry.path)


def _layer(goal: Goal, parts: dict[int, list[_Bundle]], table: Sequence[Component]) -> NewLayer:
    component = ", ".join(name_of(table, number) for number in parts)
    writes = {write.entry.path: write for bundles in parts.values() for bundle in bundles for write in bundle}
    # An engine would make parents up that the tar does not name, with an owner and mode of its own.
    above = {parent for path in writes for parent in parents(path)}
    folders = {parent: Write(goal.files[parent]) for parent in above}
    return NewLayer(component, tuple(sorted((folders | writes).values(), key=_tar_order)))


def _tar_order(write: Write) -> tuple[bool, str]:
    """A folder just before what is in it, files before the hard links to them."""
    return write.entry.kind is Kind.HARDLINK, write.entry.path.replace("/", "\0")


def _bytes(bundle: _Bundle) -> int:
    return sum(weight(write.entry) for write in bundle)
