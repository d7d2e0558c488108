"""Machine: by which names and addresses this one is reached."""

import ipaddress
import socket

LOOPBACK = "127.0.0.1"
EVERY = "0.0.0.0"  # noqa: S104 — a name for it; nothing listens there unless that is asked for
# Where a datagram would go on its way out (RFC 5737: nobody's address); none is sent.
_OUTSIDE = ("198.51.100.1", 9)


def is_every(address: str) -> bool:
    """Whether listening at an address means all addresses of this machine: 0.0.0.0 or ::."""
    return ipaddress.ip_address(address).is_unspecified


def outward() -> str:
    """The address by which other machines reach this one; loopback's where it has no network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(_OUTSIDE)
        except OSError:
            return LOOPBACK
        return str(probe.getsockname()[0])


def names() -> tuple[str, ...]:
    """What this machine is called, by itself and by name services."""
    return tuple(dict.fromkeys(("localhost", socket.gethostname(), socket.getfqdn())))


def leads_here(name: str, address: str) -> bool:
    """Whether a host's name or address leads to whoever listens at an address of this machine."""
    try:
        found = {str(info[4][0]) for info in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)}
    except OSError:
        return False
    return any(_is_own(each) for each in found) if is_every(address) else address in found


def _is_own(address: str) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
        return True
