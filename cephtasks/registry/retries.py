"""Retries: do a thing again while its failure may pass."""

import threading
from collections.abc import Callable
from typing import TypeVar

from cephtasks.errors import CephtasksError, RegistryRefused, RegistryUnreachable, UploadLost

_PAUSES = (0.2, 1.0, 3.0)  # seconds before each further attempt
_PASSING = frozenset({408, 429, 500, 502, 503, 504})

Result = TypeVar("Result")


def persist(
    act: Callable[[], Result],
    stop: threading.Event | None = None,
    progress: Callable[[], int] = lambda: 0,
) -> Result:
    """What `act` returns, called up to four times, or as long as `progress` grows; not once `stop` is set.

    Meant for a registry that has answered before: one that never did is not worth waiting for.
    Raises the last failure, or at once one that would come again.
    """
    stop = stop or threading.Event()
    reached, pauses = progress(), iter(_PAUSES)
    while True:
        try:
            return act()
        except CephtasksError as error:
            if progress() > reached:
                reached, pauses = progress(), iter(_PAUSES)
            pause = next(pauses, None)
            if pause is None or not may_pass(error) or stop.wait(max(pause, _wished_pause(error))):
                raise


def may_pass(error: CephtasksError) -> bool:
    """Whether the same may well be done with success a little later."""
    if isinstance(error, RegistryRefused):
        return error.status in _PASSING
    return isinstance(error, RegistryUnreachable | UploadLost)


def _wished_pause(error: CephtasksError) -> float:
    return error.retry_after if isinstance(error, RegistryRefused) else 0.0
