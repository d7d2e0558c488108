"""Interrupts, by real signals."""

import signal
import threading
from collections.abc import Iterator

import pytest

from cephtasks.engine.interrupts import Interrupts


def press() -> None:
    """Press Ctrl-C."""
    signal.raise_signal(signal.SIGINT)


@pytest.fixture(autouse=True)
def handler_is_put_back() -> Iterator[None]:
    """Whatever happens, Ctrl-C is afterwards what it was before."""
    before = signal.getsignal(signal.SIGINT)
    yield
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_waits_for_the_end_of_the_block() -> None:
    """Work that must not be cut short is not."""
    done = []
    with pytest.raises(KeyboardInterrupt), Interrupts():
        press()
        done.append("all")
    assert done == ["all"]


def test_ctrl_c_is_let_in_where_it_is_welcome() -> None:
    """Work that may be cut short is, at once."""
    done = []
    with pytest.raises(KeyboardInterrupt), Interrupts() as interrupts, interrupts.welcome():
        press()
        done.append("never")
    assert done == []


def test_ctrl_c_that_waited_is_let_in_first_thing() -> None:
    """What would be cut short anyway is not begun."""
    done = []
    with pytest.raises(KeyboardInterrupt), Interrupts() as interrupts:
        press()
        with interrupts.welcome():
            done.append("never")
    assert done == []


def test_pressing_again_does_not_cut_the_cleaning_short() -> None:
    """However often it is pressed, what the first Ctrl-C set off is done to its end."""
    done = []
    with pytest.raises(KeyboardInterrupt), Interrupts() as interrupts:
        try:
            with interrupts.welcome():
                press()
        finally:
            press()
            press()
            done.append("cleaned")
    assert done == ["cleaned"]


def test_an_error_is_not_hidden_by_ctrl_c() -> None:
    """Where both happen, the error is told."""
    with pytest.raises(ValueError, match="of its own"), Interrupts():
        press()
        raise ValueError("of its own")


def test_who_ignores_ctrl_c_goes_on_to_do_so() -> None:
    """A job that was started with SIGINT ignored, by nohup or a script, is not ended by it."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interrupts() as interrupts, interrupts.welcome():
            press()
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_threads_may_use_it_too() -> None:
    """Only the main thread gets signals; in others there is nothing to hold."""
    done = []

    def work() -> None:
        with Interrupts() as interrupts, interrupts.welcome():
            done.append("all")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == ["all"]
