"""Turns: let one process at a time do what two must not do at once; whoever waits is told for whom."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from cephtasks import console

_SOON = 0.5  # seconds after which somebody who waits is told why


def acquire(lock: BaseFileLock, doing: str) -> None:
    """Take a lock, waiting for whoever has it; `doing` says what that one does, as `writes to …`.

    Raises OSError.
    """
    try:
        lock.acquire(timeout=_SOON)
    except Timeout:
        console.say(f"waiting for another cephtasks that {doing}")
        lock.acquire()


@contextmanager
def turn(file: Path, doing: str) -> Iterator[None]:
    """Hold the lock of a file for as long as the block lasts. Raises OSError."""
    lock = FileLock(file)
    acquire(lock, doing)
    try:
        yield
    finally:
        lock.release()
