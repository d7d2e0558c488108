"""Troubles: turn what HTTP raises and what registries answer into our errors."""

import contextlib
import email.utils
import http.client
import json
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import requests
import urllib3

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
from cephtasks.registry.trust import client_certificate

# urllib3's own come through requests where that does not expect them.
FAILURES = (requests.RequestException, urllib3.exceptions.HTTPError)
_NO_ADDRESS = (
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    urllib3.exceptions.LocationValueError,
)
_LONGEST_REASON = 300  # characters of a registry's own words
_LONGEST_WAIT = 60.0  # seconds that Retry-After may ask for
# What OpenSSL says when the answer to its greeting is no TLS; other failures are TLS that went wrong.
_NOT_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "UNKNOWN_PROTOCOL")
# What it says when a server ends its greeting for want of a client certificate, or of a better one.
_WANTS_CERTIFICATE = ("ALERT_CERTIFICATE_REQUIRED", "ALERT_BAD_CERTIFICATE", "ALERT_UNKNOWN_CA")
# X509_V_ERR_… of certificates whose issuer is not known here, which REGISTRY_CA mends.
_ISSUER_UNKNOWN = frozenset({2, 18, 19, 20, 21})
_BLOB_UNKNOWN = frozenset({"MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN"})
_OTHER_SHAPE = (ValueError, LookupError, TypeError, AttributeError, RecursionError)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def from_exception(url: str, error: Exception, ca_hint: Callable[[str], str] | None = None) -> CephtasksError:
    """What a request that got no answer means; `url` begins with where it went.

    `ca_hint` tells what to do about a host whose CA is not known.
    """
    if isinstance(error, _NO_ADDRESS):
        return NotARegistry(f"{url.partition('?')[0]} is no address that can be asked", "invoke settings")
    host = urlsplit(url).netloc
    causes = tuple(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _not_trusted(host, cause, ca_hint)
        if isinstance(cause, ssl.SSLError) and (cause.reason or "") in _NOT_TLS:
            return RegistryWithoutTls(
                f"{host} speaks no TLS", f"REGISTRY_INSECURE={host} in .env, if plain HTTP is meant"
            )
        if isinstance(cause, ssl.SSLError) and (cause.reason or "").endswith(_WANTS_CERTIFICATE):
            return wants_certificate(host)
    return RegistryUnreachable(_why_unreachable(host, error, causes), _unreachable_hint(url, causes))


def from_answer(host: str, what: str, answer: requests.Response) -> CephtasksError:
    """What an answer that was not hoped for means; `what` is what was asked for."""
    code, reason = _reason(answer)
    if answer.status_code in (401, 403):
        return RegistryUnauthorized(f"{host} allows no access to {what}: {reason}", f"docker login {host}")
    fact = f"{host} refuses {what}: {reason}"
    return RegistryRefused(fact, _refused_hint(host, answer), answer.status_code, code, _retry_after(answer))


def not_a_registry(base: str, why: str) -> NotARegistry:
    """Something answers at the registry's URL in another way than a registry."""
    return NotARegistry(f"{urlsplit(base).netloc} does not answer as a registry: {why}", _look(base))


def otherwise_than_a_registry(base: str, answer: requests.Response) -> CephtasksError | None:
    """What keeps an answer to `/v2/` from being a registry's, or None."""
    if answer.status_code == 400 and "SSL certificate" in answer.text:  # nginx, after its greeting
        return wants_certificate(urlsplit(base).netloc)
    if answer.status_code == 400 and "HTTPS" in answer.text:  # what Go and nginx say to plain HTTP
        host = urlsplit(base).netloc
        return RegistryUnreachable(f"{host} speaks only TLS", f"curl --include https://{host}/v2/")
    if answer.is_redirect:
        return not_a_registry(base, "it redirects to another address")
    if answer.status_code not in (200, 401):
        return not_a_registry(base, f"HTTP {answer.status_code} for /v2/")
    return not_a_registry(base, "it sends a web page") if answer.ok and is_html(answer) else None


def broke_off(base: str) -> RegistryUnreachable:
    """The registry ended an answer before it was whole."""
    return RegistryUnreachable(f"{urlsplit(base).netloc} broke off its answer", _look(base))


def is_html(answer: requests.Response) -> bool:
    """Whether the answer is a web page."""
    kind = answer.headers.get("Content-Type", "")
    return kind.startswith("text/html") or answer.content.lstrip()[:1] == b"<"


def blobs_unknown(answer: requests.Response) -> frozenset[str]:
    """The digests of blobs that the registry says it lacks; registries differ in where they name them."""
    with contextlib.suppress(*_OTHER_SHAPE):
        errors = [error for error in answer.json()["errors"] if error["code"] in _BLOB_UNKNOWN]
        return frozenset(_DIGEST.findall(json.dumps(errors)))
    return frozenset()


def wants_certificate(host: str) -> RegistryUnauthorized:
    """The registry lets in only who shows it a certificate that it knows."""
    hint = f"put a certificate that it knows at {client_certificate(host)}"
    return RegistryUnauthorized(f"{host} wants a client certificate", hint)


def _not_trusted(
    host: str, cause: ssl.SSLCertVerificationError, ca_hint: Callable[[str], str] | None
) -> RegistryNotTrusted:
    hint = f"openssl s_client -connect {host} -showcerts"
    if ca_hint and cause.verify_code in _ISSUER_UNKNOWN:
        hint = ca_hint(host)
    return RegistryNotTrusted(f"the certificate of {host} cannot be verified: {cause.verify_message}", hint)


def _why_unreachable(host: str, error: Exception, causes: tuple[BaseException, ...]) -> str:
    if isinstance(error, requests.exceptions.ProxyError):
        return f"the proxy does not reach {host}"
    if isinstance(error, requests.exceptions.Timeout):
        return f"{host} does not answer in time"
    told = (_told(host, cause) for cause in causes if not isinstance(cause, requests.RequestException))
    return next(filter(None, told), f"{host} broke off its answer")


def _told(host: str, cause: BaseException) -> str:
    """What the operating system's own error says, or nothing."""
    for kind, words in (
        (socket.gaierror, f"no host is known as {host.rpartition(':')[0] or host}"),
        (ConnectionRefusedError, f"nothing listens at {host}"),
        (TimeoutError, f"{host} does not answer in time"),
        (ssl.SSLEOFError, f"{host} closed the connection without an answer"),
        (ConnectionError, f"{host} closed the connection without an answer"),
        (http.client.BadStatusLine, f"{host} speaks no HTTP"),
    ):
        if isinstance(cause, kind):
            return words
    if isinstance(cause, ssl.SSLError) and cause.reason:
        return f"no TLS connection to {host}: {cause.reason.lower().replace('_', ' ')}"
    if isinstance(cause, OSError) and cause.errno and cause.strerror:
        return f"{host} cannot be reached: {cause.strerror}"
    return ""


def _unreachable_hint(url: str, causes: tuple[BaseException, ...]) -> str:
    parts = urlsplit(url)
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return f"getent hosts {parts.hostname}, or another REGISTRY in .env"
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        if is_loopback(parts.netloc):
            return "invoke registry.up"
        if parts.scheme == "https" and parts.port is None:  # plain HTTP would have another port
            return f"{_look(url)}, and REGISTRY_INSECURE={parts.netloc} in .env where plain HTTP is meant"
    return _look(url)


def _refused_hint(host: str, answer: requests.Response) -> str:
    if answer.status_code == 413:
        return f"raise the limit of request bodies (nginx: client_max_body_size) in front of {host}"
    if answer.request.method in ("GET", "HEAD"):
        return f"curl --include {answer.url.partition('?')[0]}"
    return _look(answer.url)


def _look(url: str) -> str:
    """The line that shows what answers there."""
    parts = urlsplit(url)
    return f"curl --include {parts.scheme}://{parts.netloc}/v2/"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        # urllib3 puts some errors into others without raising them.
        wrapped = next((part for part in error.args if isinstance(part, BaseException)), None)
        error = error.__cause__ or error.__context__ or wrapped


def _reason(answer: requests.Response) -> tuple[str, str]:
    """The code and the words of the body's first error (distribution-spec, Error Codes), else the status."""
    status = f"HTTP {answer.status_code} {answer.reason or ''}".strip()
    try:
        first = answer.json()["errors"][0]
        code, message = str(first["code"]), str(first.get("message") or "")
    except _OTHER_SHAPE:
        return "", f"{status}, with a web page" if is_html(answer) else status
    words = re.sub(r"\s+", " ", f"{code}: {message}" if message else code)
    return code, "".join(letter for letter in words if letter.isprintable())[:_LONGEST_REASON]


def _retry_after(answer: requests.Response) -> float:
    """Seconds to wait, of a header that names them or a moment (RFC 9110, section 10.2.3)."""
    text = answer.headers.get("Retry-After", "")
    if re.fullmatch(r"[0-9]{1,6}", text):
        return min(float(text), _LONGEST_WAIT)
    with contextlib.suppress(ValueError, OverflowError):
        wait = email.utils.parsedate_to_datetime(text).timestamp() - time.time()
        return max(0.0, min(wait, _LONGEST_WAIT))
    return 0.0
