"""Retries: what may pass is tried again, what would come again is not."""

import itertools
import threading
import time
from collections.abc import Callable

import pytest

from cephtasks.errors import CephtasksError, NotARegistry, RegistryRefused, RegistryUnreachable, UploadLost
from cephtasks.registry.retries import persist


def _failing(error: CephtasksError, times: int) -> tuple[Callable[[], str], list[float]]:
    """Something that fails so often before it works, and when it was called."""
    called: list[float] = []

    def act() -> str:
        called.append(time.monotonic())
        if len(called) <= times:
            raise error
        return "done"

    return act, called


@pytest.mark.parametrize(
    "error",
    [
        RegistryUnreachable("reset"),
        RegistryRefused("busy", status=503),
        RegistryRefused("too many", status=429),
        UploadLost("session lost"),
    ],
)
def test_what_may_pass_is_tried_again(error: CephtasksError) -> None:
    """A lost connection, an overloaded server, a forgotten upload."""
    act, called = _failing(error, 1)
    assert persist(act) == "done"
    assert len(called) == 2


@pytest.mark.parametrize(
    "error",
    [RegistryRefused("no", status=400), RegistryRefused("no", status=404), NotARegistry("a web page")],
)
def test_what_would_come_again_is_not(error: CephtasksError) -> None:
    """It is raised at once."""
    act, called = _failing(error, 1)
    with pytest.raises(type(error)):
        persist(act)
    assert len(called) == 1


def test_it_ends_after_four_times() -> None:
    """With growing pauses, and the last failure."""
    act, called = _failing(RegistryUnreachable("down"), 9)
    with pytest.raises(RegistryUnreachable):
        persist(act)
    pauses = [round(later - sooner, 1) for sooner, later in itertools.pairwise(called)]
    assert pauses == [0.2, 1.0, 3.0]


def test_it_goes_on_while_it_gets_further() -> None:
    """Each step ahead counts as a new beginning."""
    act, called = _failing(RegistryUnreachable("reset"), 6)
    assert persist(act, progress=lambda: len(called)) == "done"
    assert len(called) == 7


def test_a_registry_may_ask_for_time() -> None:
    """Retry-After lengthens the pause."""
    act, called = _failing(RegistryRefused("busy", status=503, retry_after=0.5), 1)
    persist(act)
    assert called[1] - called[0] >= 0.5


def test_it_ends_when_it_is_told_to() -> None:
    """No pause is waited for, and nothing is tried again."""
    stop = threading.Event()
    stop.set()
    act, called = _failing(RegistryRefused("busy", status=503, retry_after=60), 1)
    with pytest.raises(RegistryRefused):
        persist(act, stop)
    assert len(called) == 1
