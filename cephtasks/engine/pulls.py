"""Pulls: fetch an image from its registry into the engine."""

import re
import warnings
from collections.abc import Callable
from contextlib import closing
from typing import Any

from cephtasks.engine.troubles import FAILURES, one_line
from cephtasks.errors import PullFailed
from cephtasks.reference import Reference

OnProgress = Callable[[str, int, int | None, str], None]

ALREADY_THERE, DOWNLOADING = "Already exists", "Downloading"
FETCHED = frozenset({"Verifying Checksum", "Download complete", "Extracting", "Pull complete"})

# What engines say that comes again, and what to type then; the first that fits is taken.
_HINTS = (
    (r"HTTP response to HTTPS client", '"insecure-registries": ["{registry}"] in the engine\'s daemon.json'),
    (
        r"x509|certificate",
        "the CA's certificate in /etc/docker/certs.d/{registry}/ca.crt on the engine's host",
    ),
    (r"denied|unauthorized|authentication|credentials", "docker login {registry}, or check the name"),
    (r"manifest unknown|name unknown|not found|no matching manifest|does not exist", "check the name"),
    (r"no space left", "docker system df"),
)


def pull(api: Any, reference: Reference, on_progress: OnProgress) -> None:
    """Fetch an image; `on_progress` gets layer, bytes done, bytes in all where told, and what is done.

    An engine gives up by itself, after half a minute, on a registry that does not answer.
    Raises PullFailed, also for errors inside the engine's answer.
    """
    try:
        with warnings.catch_warnings(action="ignore", category=UserWarning):  # of a credential helper
            answer = api.pull(reference.name, tag=reference.target, stream=True, decode=True)
        with closing(answer) as events:
            for event in events:
                if "error" in event:
                    raise _failed(reference, str(event["error"]))
                detail = event.get("progressDetail") or {}
                if event.get("id"):
                    done, total = detail.get("current", 0), detail.get("total")
                    on_progress(event["id"], done, total, event.get("status", ""))
    except FAILURES as error:
        raise _failed(reference, one_line(error)) from error


def hint(reference: Reference, reason: str) -> str:
    """What to type when a pull failed for a reason that the engine gave."""
    told = _known(reason) or "check the name and the network, then docker pull {reference}"
    return told.format(registry=reference.registry, reference=reference.familiar)


def _known(reason: str) -> str:
    telling = (told for pattern, told in _HINTS if re.search(pattern, reason, re.IGNORECASE))
    return next(telling, "")


def _failed(reference: Reference, reason: str) -> PullFailed:
    fact = f"{reference.familiar} could not be pulled: {' '.join(reason.split())}"
    return PullFailed(fact, hint(reference, reason), may_pass=not _known(reason))
