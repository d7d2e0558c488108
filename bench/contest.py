"""Contest: time two ways to do one piece of work in turn, and compare their medians."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

Work = Callable[[int], None]


@dataclass(frozen=True)
class Contest:
    """Some work of ours and the same work of a peer; each is told its round, and prepared apart from it.

    `reach` is the part of the peer's time that ours should take at most.
    """

    name: str
    peer_name: str
    ours: Work
    peer: Work
    reach: float
    prepare: Work = lambda number: None


@dataclass(frozen=True)
class Outcome:
    """The medians of a contest, in seconds."""

    contest: Contest
    ours: float
    peer: float

    @property
    def ratio(self) -> float:
        """Our time as a part of the peer's."""
        return self.ours / self.peer

    @property
    def reached(self) -> bool:
        """Whether ours took no more of the peer's time than it should."""
        return self.ratio <= self.contest.reach


def run(contest: Contest, rounds: int) -> Outcome:
    """Ours and the peer's in turn, after one unmeasured round of each; medians of all rounds."""
    ours, peer = [], []
    for number in range(rounds + 1):
        contest.prepare(number)
        mine = _seconds(contest.ours, number)
        contest.prepare(number)
        theirs = _seconds(contest.peer, number)
        if number:
            ours.append(mine)
            peer.append(theirs)
    return Outcome(contest, statistics.median(ours), statistics.median(peer))


def _seconds(work: Work, number: int) -> float:
    started = time.perf_counter()
    work(number)
    return time.perf_counter() - started
