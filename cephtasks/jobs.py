"""Jobs: run several on a few threads that all end at the first failure."""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

_LOOK_UP = 0.2  # seconds after which Ctrl-C is noticed wherever the signal went; results are noticed at once
_GRACE = 1.0  # seconds that threads get to end after a failure; they are daemons, so none outlives us

Result = TypeVar("Result")
Job = Callable[[threading.Event], Result]


class Stopped(Exception):
    """A job ended early because another failed, or because the user pressed Ctrl-C."""


def run_all(jobs: Sequence[Job[Result]], threads: int, grace: float = _GRACE) -> list[Result]:
    """The results of all jobs, in their order; each job is given the event that tells it to stop.

    Jobs that have something to put away before they end need a longer `grace`, in seconds.
    Raises the first failure, or KeyboardInterrupt, after the other jobs were told to stop.
    """
    stop, over = threading.Event(), threading.Event()
    waiting: queue.SimpleQueue[tuple[int, Job[Result]]] = queue.SimpleQueue()
    results: dict[int, Result] = {}
    failures: list[BaseException] = []

    def work() -> None:
        while not stop.is_set():
            try:
                index, job = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                results[index] = job(stop)
            except BaseException as error:  # raised again on the thread that waits
                failures.append(error)
                stop.set()
                over.set()
            if len(results) == len(jobs):
                over.set()

    for numbered in enumerate(jobs):
        waiting.put(numbered)
    crew = [threading.Thread(target=work, daemon=True) for _ in range(min(threads, len(jobs)))]
    try:
        for worker in crew:
            worker.start()
        while crew and not over.wait(_LOOK_UP):
            pass
    finally:
        stop.set()
        deadline = time.monotonic() + grace
        for worker in crew:
            if worker.ident is not None:
                worker.join(max(0.0, deadline - time.monotonic()))
    if failures:
        raise failures[0]
    return [results[index] for index in range(len(jobs))]
