"""Pulls: fetch an image from its registry into the engine, or see whether the engine could."""

import re
import warnings
from collections.abc import Callable
from contextlib import closing
from typing import Any

from cephtasks.engine.troubles import FAILURES, one_line
from cephtasks.errors import PullFailed, PullNotTrusted, PullRefused, PullUnknown
from cephtasks.reference import Reference

OnProgress = Callable[[str, int, int | None, str], None]

ALREADY_THERE, DOWNLOADING, EXTRACTING = "Already exists", "Downloading", "Extracting"
FETCHED = frozenset({"Verifying Checksum", "Download complete", EXTRACTING, "Pull complete"})

# What engines say that comes again, what it means, and what to type then; the first that fits is taken.
_REASONS: tuple[tuple[str, type[PullFailed], str], ...] = (
    (
        r"HTTP response to HTTPS client",
        PullRefused,
        '"insecure-registries": ["{registry}"] in the engine\'s daemon.json, then systemctl reload docker',
    ),
    (
        r"x509|certificate",
        PullNotTrusted,
        "the CA's certificate in /etc/docker/certs.d/{registry}/ca.crt on the engine's host",
    ),
    (
        r"denied|unauthorized|authentication|credentials",
        PullRefused,
        "docker login {registry}, or check the name",
    ),
    (
        r"manifest unknown|name unknown|not found|no matching manifest|does not exist",
        PullUnknown,
        "check the name",
    ),
    (r"no space left", PullRefused, "docker system df"),
)
_TRY_AGAIN = "check the name and the network, then docker pull {reference}"


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
                    raise failure(reference, str(event["error"]))
                detail = event.get("progressDetail") or {}
                if event.get("id"):
                    done, total = detail.get("current", 0), detail.get("total")
                    on_progress(event["id"], done, total, event.get("status", ""))
    except FAILURES as error:
        raise failure(reference, one_line(error)) from error


def reach(api: Any, reference: Reference) -> None:
    """Have the engine ask the registry for an image, of which nothing is fetched.

    That there is no image of that name tells as much. Raises PullFailed.
    """
    name = f"{reference.name}:{reference.tag}" if reference.tag else str(reference)
    try:
        with warnings.catch_warnings(action="ignore", category=UserWarning):  # of a credential helper
            api.inspect_distribution(name)
    except FAILURES as error:
        failed = failure(reference, one_line(error))
        if not isinstance(failed, PullUnknown):
            raise failed from error


def failure(reference: Reference, reason: str) -> PullFailed:
    """What it means that a pull failed for a reason that the engine gave."""
    telling = (row for row in _REASONS if re.search(row[0], reason, re.IGNORECASE))
    _, kind, hint = next(telling, ("", PullFailed, _TRY_AGAIN))
    fact = f"{reference.familiar} could not be pulled: {' '.join(reason.split())}"
    return kind(fact, hint.format(registry=reference.registry, reference=reference.familiar))
