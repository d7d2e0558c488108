"""Fanout: ask many things of a registry at once, and give the answers in order."""

import threading
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from typing import TypeVar

from cephtasks.jobs import run_all

_THREADS = 8  # as many connections as a client keeps
_BATCH = 256  # things that are known at once, however many there are

Item = TypeVar("Item")
Result = TypeVar("Result")


def each(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """What `function` returns for every item, in their order; items are taken a few hundred at a time.

    Raises the first failure.
    """
    remaining = iter(items)
    while batch := list(islice(remaining, _BATCH)):
        yield from run_all([partial(_call, function, item) for item in batch], _THREADS)


def _call(function: Callable[[Item], Result], item: Item, _: threading.Event) -> Result:
    return function(item)
