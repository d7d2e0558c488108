"""Addresses: decide by which URLs a registry may be reached."""

import ipaddress
from collections.abc import Sequence
from urllib.parse import SplitResult, urlencode, urljoin, urlsplit

from cephtasks.reference import DOCKER_HUB

_HUB_HOST = "registry-1.docker.io"


def is_loopback(host: str) -> bool:
    """Whether `host[:port]` is this machine: localhost, 127.0.0.0/8 or [::1]."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def allows_plain(host: str, insecure: Sequence[str]) -> bool:
    """Whether plain HTTP may be spoken: on loopback, or where host or host:port is named insecure."""
    return is_loopback(host) or host in insecure or _without_port(host) in insecure


def api_host(host: str) -> str:
    """Where the API of a registry is: Docker Hub has it elsewhere than its name says."""
    return _HUB_HOST if host == DOCKER_HUB else host


def base_urls(host: str, insecure: Sequence[str], own_certificates: bool) -> tuple[str, ...]:
    """The URLs to try, in order: HTTPS first, and then plain HTTP where that is allowed.

    On loopback without certificates of its own plain HTTP comes first: nobody listens in between, and
    small HTTP servers wait for ever for the end of the line that a TLS greeting never sends.
    """
    secure, plain = f"https://{api_host(host)}", f"http://{api_host(host)}"
    if not allows_plain(host, insecure):
        return (secure,)
    return (plain, secure) if is_loopback(host) and not own_certificates else (secure, plain)


def is_same_origin(url: str, base: str) -> bool:
    """Whether two URLs have scheme, host and port in common."""
    return _origin(urlsplit(url)) == _origin(urlsplit(base))


def absolute(location: str, base: str) -> str:
    """A URL as the registry gives it, made absolute.

    Behind a proxy that ends TLS, registries name themselves by plain HTTP: their host keeps our scheme.
    """
    url = urlsplit(urljoin(f"{base}/", location))
    ours = urlsplit(base)
    return url._replace(scheme=ours.scheme).geturl() if url.netloc == ours.netloc else url.geturl()


def with_query(url: str, **parameters: str) -> str:
    """The URL with further query parameters; those that it has stay as they are, they may be signed."""
    parts = urlsplit(url)
    added = urlencode(parameters, safe=":/")
    return parts._replace(query=f"{parts.query}&{added}" if parts.query else added).geturl()


def _without_port(host: str) -> str:
    name, _, port = host.rpartition(":")
    return name if port.isdigit() and name else host


def _origin(url: SplitResult) -> tuple[str, str | None, int | None]:
    return url.scheme, url.hostname, url.port or {"http": 80, "https": 443}.get(url.scheme)
