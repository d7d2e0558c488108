"""Retries: do a thing again while its failure may pass."""

import threading
from collections.abc import Callable
from typing import TypeVar

from cephtasks.errors import CephtasksError, RegistryRefused, RegistryUnreachable

_PAUSES = (0.2, 1.0, 3.0)  # seconds before each further attempt
_PASSING = frozenset({408, 429, 500, 502, 503, 504})
_LOST_SESSION = frozenset({"BLOB_UPLOAD_UNKNOWN", "BLOB_UPLOAD_INVALID"})

Result = TypeVar("Result")


def persist(act: Callable[[], Result], stop: threading.Event | None = None) -> Result:
    """What `act` returns, called up to four times; not again once `stop` is set.

    Meant for a registry that has answered before: one that never did is not worth waiting for.
    Raises the last failure, or at once one that would come again.
    """
    stop = stop or threading.Event()
    for pause in _PAUSES:
        try:
            return act()
        except (RegistryUnreachable, RegistryRefused) as error:
            if not _may_pass(error) or stop.wait(max(pause, _wished_pause(error))):
                raise
    return act()


def _may_pass(error: CephtasksError) -> bool:
    if isinstance(error, RegistryRefused):
        return error.status in _PASSING or error.error_code in _LOST_SESSION
    return True


def _wished_pause(error: CephtasksError) -> float:
    return error.retry_after if isinstance(error, RegistryRefused) else 0.0
