"""Contests: do one piece of work in two ways in turn, and compare the medians."""

import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from cephtasks import console

SECONDS, BYTES, BLOBS, REQUESTS = "s", "bytes", "blobs", "requests"

# A round that is prepared when it is entered, does its work when it is called, and clears up at the end.
Round = Callable[[int], AbstractContextManager[Callable[[], object]]]


@dataclass(frozen=True)
class Result:
    """What some work took, and what it was held against; `reach` is the part of that it may take.

    Without a `reach` it is only told.
    """

    work: str
    against: str
    unit: str
    ours: float
    peer: float
    reach: float | None = None
    note: str = ""

    @property
    def ratio(self) -> float:
        """Ours as a part of the peer's."""
        return self.ours / self.peer

    @property
    def reached(self) -> bool | None:
        """Whether ours took no more of the peer's than it may."""
        return None if self.reach is None else self.ratio <= self.reach

    def document(self) -> Mapping[str, Any]:
        """The result as `--json` prints it."""
        ratio = round(self.ratio, 4)
        return {**vars(self), "ratio": ratio, "reached": self.reached}

    def row(self) -> tuple[str, ...]:
        """The result as a line of the table."""
        amounts = (_amount(self.ours, self.unit), _amount(self.peer, self.unit))
        reach = "" if self.reach is None else f"{self.reach:.2f}"
        reached = {None: "", True: "yes", False: "no"}[self.reached]
        return (self.work, self.against, *amounts, f"{self.ratio:.3f}", reach, reached, self.note)


COLUMNS = ("work", "against", "ours", "peer", "ratio", "reach", "reached", "note")


@dataclass(frozen=True)
class Contest:
    """Some work of ours, and the same work of a peer; `reach` is the part of its time to stay within."""

    work: str
    against: str
    ours: Round
    peer: Round
    reach: float
    note: str = ""


def hold(contest: Contest, rounds: int) -> Result:
    """Ours and the peer's in turn, after one unmeasured round of each; the medians of all rounds."""
    ours, peer = [], []
    for number in range(rounds + 1):
        mine, theirs = seconds(contest.ours, number), seconds(contest.peer, number)
        console.say(f"{contest.work}, round {number}: {mine:.2f} s against {theirs:.2f} s")
        if number:
            ours.append(mine)
            peer.append(theirs)
    medians = (statistics.median(ours), statistics.median(peer))
    return Result(contest.work, contest.against, SECONDS, *medians, contest.reach, contest.note)


def seconds(prepared: Round, number: int) -> float:
    """How long a round's work takes, without what prepares it and clears up after it."""
    with prepared(number) as work:
        started = time.perf_counter()
        work()
        return time.perf_counter() - started


def _amount(count: float, unit: str) -> str:
    if unit == BYTES:
        return console.size(count)
    return f"{count:.2f} s" if unit == SECONDS else f"{count:.0f} {unit}"
