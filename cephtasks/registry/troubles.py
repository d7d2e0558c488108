"""Troubles: turn what HTTP raises and what registries answer into our errors."""

import re
import socket
import ssl
from collections.abc import Iterator

import requests

from cephtasks.errors import (
    CephtasksError,
    NotARegistry,
    RegistryNotTrusted,
    RegistryRefused,
    RegistryUnauthorized,
    RegistryUnreachable,
    RegistryWithoutTls,
)
from cephtasks.registry.address import is_loopback

_LONGEST_REASON = 300  # characters of a registry's own words
_LONGEST_WAIT = 60.0  # seconds that Retry-After may ask for


def from_exception(host: str, error: requests.RequestException) -> CephtasksError:
    """What a request that got no answer means."""
    causes = tuple(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return RegistryNotTrusted(
                f"the certificate of {host} cannot be verified: {cause.verify_message}",
                "set REGISTRY_CA to the file with the registry's CA certificate",
            )
        if isinstance(cause, ssl.SSLError):
            return RegistryWithoutTls(
                f"{host} speaks no TLS", f"set REGISTRY_INSECURE={host} if plain HTTP is meant"
            )
    return RegistryUnreachable(_why_unreachable(host, error, causes), _unreachable_hint(host))


def from_answer(host: str, what: str, answer: requests.Response) -> CephtasksError:
    """What an answer that was not hoped for means; `what` is what was asked for."""
    code, reason = _reason(answer)
    if answer.status_code in (401, 403):
        return RegistryUnauthorized(f"{host} does not allow {what}: {reason}", f"docker login {host}")
    hint = f"curl --head {answer.url.partition('?')[0]}"
    if answer.status_code == 413:
        hint = f"raise the limit of request bodies (nginx: client_max_body_size) in front of {host}"
    return RegistryRefused(
        f"{host} refuses {what}: {reason}", hint, answer.status_code, code, _retry_after(answer)
    )


def not_a_registry(host: str, why: str) -> NotARegistry:
    """Something answers at the registry's address in another way than a registry."""
    return NotARegistry(f"{host} does not answer as a registry: {why}", f"curl --include {host}/v2/")


def is_html(answer: requests.Response) -> bool:
    """Whether the answer is a web page."""
    kind = answer.headers.get("Content-Type", "")
    return kind.startswith("text/html") or answer.content.lstrip()[:1] == b"<"


def _why_unreachable(host: str, error: requests.RequestException, causes: tuple[BaseException, ...]) -> str:
    if isinstance(error, requests.exceptions.ProxyError):
        return f"the proxy does not reach {host}"
    if isinstance(error, requests.exceptions.Timeout):
        return f"{host} does not answer in time"
    told = (_told(host, cause) for cause in causes if not isinstance(cause, requests.RequestException))
    return next(filter(None, told), f"{host} broke off its answer: {type(causes[-1]).__name__}")


def _told(host: str, cause: BaseException) -> str:
    """What the operating system's own error says, or nothing."""
    for kind, words in (
        (socket.gaierror, f"no host is known as {host}"),
        (ConnectionRefusedError, f"nothing listens at {host}"),
        (TimeoutError, f"{host} does not answer in time"),
        (ConnectionError, f"{host} closed the connection without an answer"),
    ):
        if isinstance(cause, kind):
            return words
    if isinstance(cause, OSError) and cause.errno and cause.strerror:
        return f"{host} cannot be reached: {cause.strerror}"
    return ""


def _unreachable_hint(host: str) -> str:
    return "invoke registry.up" if is_loopback(host) else f"curl --include {host}/v2/"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _reason(answer: requests.Response) -> tuple[str, str]:
    """The code and the words of the first error of the answer's body, else its HTTP status."""
    status = f"HTTP {answer.status_code} {answer.reason or ''}".strip()
    try:
        first = answer.json()["errors"][0]
        code, message = str(first["code"]), str(first.get("message") or "")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return "", status
    words = re.sub(r"\s+", " ", f"{code}: {message}" if message else code)
    return code, "".join(letter for letter in words if letter.isprintable())[:_LONGEST_REASON]


def _retry_after(answer: requests.Response) -> float:
    """Seconds to wait; the form with a date is rare enough to be left to our own pauses."""
    text = answer.headers.get("Retry-After", "")
    return min(float(text), _LONGEST_WAIT) if re.fullmatch(r"[0-9]{1,6}", text) else 0.0
