"""Model: simulate how an image gets to the nodes of a cluster, event by event, with and without mirrors."""

import heapq
import math
import random
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

_FETCHES = 2  # by a mirror, of what it lacks: registry 2 does so for whoever asks, and once more to keep it
_SPREAD = 0.2  # a node takes up to this part more or less than others to unpack


@dataclass(frozen=True)
class Machines:
    """How fast things are. Rates in bytes a second, times in seconds.

    `registry_rate` and `mirror_rate` are all that one of them sends, `node_rate` all that a node receives.
    Whoever types takes `client_seconds` for each node, one after the other.
    """

    registry_rate: float
    mirror_rate: float
    node_rate: float
    client_seconds: float


@dataclass(frozen=True)
class Load:
    """What a node has to do: fetch so many bytes, and then unpack them in so many seconds."""

    size: int
    unpacking: float


@dataclass(frozen=True)
class Outcome:
    """What a rollout took: the bytes that the registry sent, and the seconds until the last node was done."""

    egress: int
    seconds: float


def roll_out(machines: Machines, nodes: int, at_once: int, load: Load, mirrors: int = 0) -> Outcome:
    """`nodes` nodes bear that load each, `at_once` at a time, one going first.

    With `mirrors` the nodes are divided among as many pull-through mirrors, each with a `nodes.pull` of its
    own: what goes first through each comes from the registry, all others from the mirror.
    """
    if not mirrors:
        return Outcome(nodes * load.size, _staged(machines, machines.registry_rate, nodes, at_once, load))
    first = _seconds(machines, machines.registry_rate / _FETCHES, mirrors, mirrors, load)
    others = math.ceil(nodes / mirrors) - 1
    rest = _seconds(machines, machines.mirror_rate, others, at_once, load)
    return Outcome(_FETCHES * mirrors * load.size, max(first + rest, nodes * machines.client_seconds))


def _staged(machines: Machines, rate: float, nodes: int, at_once: int, load: Load) -> float:
    first = _seconds(machines, rate, 1, 1, load)
    return first + _seconds(machines, rate, nodes - 1, at_once, load)


def _seconds(machines: Machines, rate: float, nodes: int, at_once: int, load: Load) -> float:
    """Seconds until the last of some nodes is done, all of them served by one sender of that rate."""
    sender, unpacking = _Sender(rate, machines.node_rate), _unpacking(load)
    now, client_free, waiting, busy = 0.0, 0.0, nodes, 0
    begins: deque[float] = deque()  # in order, as the client begins one after the other
    ends: list[float] = []
    while waiting or busy:
        while waiting and busy < at_once:
            client_free = max(client_free, now) + machines.client_seconds
            begins.append(client_free)
            waiting, busy = waiting - 1, busy + 1
        now = min(begins[0] if begins else math.inf, ends[0] if ends else math.inf, sender.next_end())
        sender.advance(now)
        if begins and begins[0] <= now:
            begins.popleft()
            sender.begin(load.size)
        elif ends and ends[0] <= now:
            heapq.heappop(ends)
            busy -= 1
        else:
            sender.end()
            heapq.heappush(ends, now + next(unpacking))
    return now


class _Sender:
    """One that sends to many at once, each getting its share of the rate, and no more than it can take.

    `_sent` is what each who was there from the beginning would have by now, so that one number a fetch,
    which never changes, tells when it ends.
    """

    def __init__(self, rate: float, most_each: float) -> None:
        self._rate, self._most_each = rate, most_each
        self._now = self._sent = 0.0
        self._ends: list[float] = []

    def begin(self, size: int) -> None:
        """Somebody begins to fetch so many bytes."""
        heapq.heappush(self._ends, self._sent + size)

    def end(self) -> None:
        """Whoever is done first goes."""
        heapq.heappop(self._ends)

    def advance(self, now: float) -> None:
        """Send until then."""
        self._sent += (now - self._now) * self._each()
        self._now = now

    def next_end(self) -> float:
        """When the next one is done, if nobody comes or goes."""
        return self._now + max(0.0, self._ends[0] - self._sent) / self._each() if self._ends else math.inf

    def _each(self) -> float:
        return min(self._most_each, self._rate / max(1, len(self._ends)))


def _unpacking(load: Load) -> Iterator[float]:
    """How long each node takes for what it fetched; the same nodes every time."""
    nodes = random.Random(0)  # noqa: S311 — not to be secret
    while True:
        yield load.unpacking * nodes.uniform(1 - _SPREAD, 1 + _SPREAD)
