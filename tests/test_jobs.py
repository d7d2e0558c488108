"""Jobs: all results, or the first failure and the end of all others."""

import _thread
import threading
import time

import pytest

from cephtasks.jobs import Stopped, run_all


def test_results_come_in_the_order_of_the_jobs() -> None:
    """However long each takes."""

    def job(number: int, stop: threading.Event) -> int:
        time.sleep(0.02 * (3 - number))
        return number

    jobs = [lambda stop, number=number: job(number, stop) for number in range(4)]
    assert run_all(jobs, 4) == [0, 1, 2, 3]


def test_no_jobs_have_no_results() -> None:
    """And nothing is waited for."""
    assert run_all([], 4) == []


def test_no_more_threads_than_allowed() -> None:
    """A job starts when another has ended."""
    running, most = 0, 0
    lock = threading.Lock()

    def job(stop: threading.Event) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.02)
        with lock:
            running -= 1

    run_all([job] * 6, 2)
    assert most == 2


def test_the_first_failure_ends_the_others() -> None:
    """They are told to stop, those that wait never start, and that failure is raised."""
    started: list[int] = []

    def fails(stop: threading.Event) -> None:
        raise ValueError("first")

    def waits(stop: threading.Event) -> None:
        started.append(1)
        if stop.wait(10):
            raise Stopped

    began = time.monotonic()
    with pytest.raises(ValueError, match="first"):
        run_all([waits, fails, waits, waits], 2)
    assert time.monotonic() - began < 1
    assert len(started) == 1


def test_a_thread_that_does_not_listen_is_left_behind() -> None:
    """All of them together are waited for about a second, no more."""
    free = threading.Event()

    def fails(stop: threading.Event) -> None:
        raise ValueError

    def deaf(stop: threading.Event) -> None:
        free.wait(10)

    began = time.monotonic()
    with pytest.raises(ValueError):
        run_all([deaf, deaf, deaf, fails], 4)
    lasted = time.monotonic() - began
    free.set()
    assert lasted < 2


def test_ctrl_c_ends_all() -> None:
    """It is noticed while jobs run, and they are told."""
    told = threading.Event()

    def waits(stop: threading.Event) -> None:
        threading.Timer(0.1, _thread.interrupt_main).start()
        if stop.wait(10):
            told.set()
            raise Stopped

    with pytest.raises(KeyboardInterrupt):
        run_all([waits], 2)
    assert told.is_set()
