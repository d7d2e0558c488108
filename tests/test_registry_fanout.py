"""Fanout: answers in order, side by side, and never more items than are needed."""

import threading
from collections.abc import Iterator

import pytest

from cephtasks.registry.fanout import each


def test_answers_come_in_order() -> None:
    """Whichever is there first; there may be more than are known at once, or none."""
    assert list(each(lambda number: number * 2, range(1000))) == [number * 2 for number in range(1000)]
    assert list(each(str, [])) == []


def test_several_are_asked_at_once() -> None:
    """Four that wait for each other all get through."""
    together = threading.Barrier(4)
    assert sorted(each(lambda _: together.wait(20), range(4))) == [0, 1, 2, 3]


def test_items_are_taken_as_answers_are_wanted() -> None:
    """Of endlessly many only the first few hundred are known when the first answer is there."""
    taken: list[int] = []

    def endless() -> Iterator[int]:
        while True:
            taken.append(len(taken))
            yield taken[-1]

    assert next(each(str, endless())) == "0"
    assert len(taken) < 1000


def test_the_first_failure_ends_it() -> None:
    """It is raised where the answers are awaited, and nothing is asked after it."""
    asked = []

    def fail(number: int) -> None:
        asked.append(number)
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        list(each(fail, range(1000)))
    assert len(asked) < 100
