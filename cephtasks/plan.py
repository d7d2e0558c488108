"""Plans: decide which layers of a stack to keep, and what to write on top of them.

A stack is kept as a log-structured store keeps its log. An edit appends one layer with what it changed;
nodes fetch that layer and nothing else. What upper layers hide is garbage, and layers pile up. So every
plan weighs, for each number of layers that could be kept from the bottom, what would have to be written
on top of them to reach the goal:

- The cheapest is taken, and of several the one that keeps fewest: an edit that hides all that a layer on
  top still shows takes its place, and an edit taken back writes nothing.
- Where that would leave more garbage or more layers than the bounds allow, more is rewritten: as much
  as costs least for each byte of garbage, or for each layer, that it does away with.

To rewrite all is always within the bounds, and costs at most two bytes for each byte of garbage; so garbage
never costs more than that. Merging layers costs most where every edit is of another small file: with a
real tree's files in turn, thousands of times, each byte that changed was written 3.5 times in all.
"""

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass

from cephtasks.components import CEPH, Component
from cephtasks.cut import cost, cut, most_layers
from cephtasks.errors import BaseTooDeep
from cephtasks.goal import Goal, lay
from cephtasks.stack import NewLayer, StackLayer, weight
from cephtasks.tree import Entry, Index, Kind, overlay

# Each layer costs a node with an empty store some 50 ms, so forty cost it two seconds; after a first
# stack of five they leave room for thirty-five edits until layers are merged.
MOST_LAYERS = 40
# A node with an empty store fetches at most half as much again as it needs. Less would cost more in
# compactions: they may cost two bytes for each byte of garbage.
MOST_GARBAGE = 1 / 2  # of what is live
ENGINE_LAYERS = 125  # of an image in all, its base's among them (moby, layer/layer_store.go)


@dataclass(frozen=True)
class Plan:
    """How many layers of the stack stay, from the bottom, and the layers to write on top, in order."""

    kept: int
    layers: tuple[NewLayer, ...]


@dataclass(frozen=True)
class _Option:
    """What it would mean to keep so many layers: bytes to write, and bytes of garbage and layers then."""

    kept: int
    cost: int
    garbage: int
    layers: int
    littered: bool
    crowded: bool

    @property
    def sound(self) -> bool:
        """Whether the bounds hold."""
        return not self.littered and not self.crowded


def plan(
    base: Index,
    tree: Index,
    stack: Sequence[StackLayer] = (),
    table: Sequence[Component] = CEPH,
    base_layers: int = 1,
    compact: bool = False,
) -> Plan:
    """Plan the image that holds a base's files with a tree laid over them, on top of a previous stack.

    `base` is an index as `flatten` gives it. The stack with the plan carried out, flattened over the
    base, is exactly `lay(base, tree).files`. With `compact` the result is the stack that would be written
    had there been none. Raises TreeInvalid, and BaseTooDeep where engines take no layer more.
    """
    room = min(MOST_LAYERS, ENGINE_LAYERS - base_layers)
    if room < 1:
        raise BaseTooDeep(
            f"the base image has {base_layers} layers, and engines take {ENGINE_LAYERS}",
            "docker export CONTAINER | docker import - NEW_BASE",
        )
    goal = lay(base, tree)
    stale = tuple(_stale(base, stack, goal))
    if compact:
        return _compacted(stack, cut(goal, stale[0], table, room))
    options = tuple(_options(goal, stack, stale, room))
    if not stale[-1] and options[-1].sound:
        return Plan(len(stack), ())
    kept = _choose(options)
    return Plan(kept, cut(goal, stale[kept], table, room - kept))


def _stale(base: Index, stack: Sequence[StackLayer], goal: Goal) -> Iterator[Set[str]]:
    """The paths that are not as the goal has them, with none of the stack's layers, with one, and so on."""
    seen = dict(base)
    stale = goal.changed
    yield stale
    for layer in stack:
        touched = overlay(seen, layer.entries)
        stale = (stale - touched) | {path for path in touched if seen.get(path) != goal.files.get(path)}
        yield stale


def _options(
    goal: Goal, stack: Sequence[StackLayer], stale: Sequence[Set[str]], room: int
) -> Iterator[_Option]:
    live = cost(goal, stale[0])
    held = 0
    for kept, paths in enumerate(stale):
        held += sum(map(weight, stack[kept - 1].entries)) if kept else 0
        if all(_writable(goal.files.get(path)) for path in paths):
            written = cost(goal, paths)
            layers = kept + (most_layers(written, room - kept) if paths else 0)
            garbage = held + written - live
            yield _Option(kept, written, garbage, layers, garbage > MOST_GARBAGE * live, layers > room)


def _writable(entry: Entry | None) -> bool:
    """A device of the base that a layer hides comes back only when that layer goes."""
    return entry is None or entry.kind in (Kind.FILE, Kind.FOLDER, Kind.SYMLINK)


def _choose(options: Sequence[_Option]) -> int:
    """How many layers to keep. To keep none is always sound: it leaves no garbage."""
    cheapest = min(options, key=lambda option: (option.cost, option.kept))

    def price(option: _Option) -> tuple[float, int]:
        by_garbage, by_layers = cheapest.garbage - option.garbage, cheapest.layers - option.layers
        return (option.cost - cheapest.cost) / (by_garbage if cheapest.littered else by_layers), option.kept

    if cheapest.sound:
        return cheapest.kept
    return min((option for option in options if option.sound), key=price).kept


def _compacted(stack: Sequence[StackLayer], ideal: Sequence[NewLayer]) -> Plan:
    kept = 0
    for old, new in zip(stack, ideal, strict=False):
        if old.entries != new.entries:
            break
        kept += 1
    return Plan(kept, tuple(ideal[kept:]))
