"""Build hosts: name the machines that compile for others, and who these others are."""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from cephtasks.errors import WorkerArgumentInvalid

DEFAULT_PORT = 3632  # distcc's own
_SLOTS = 4  # jobs, as distcc has it
_HOST = re.compile(r"(\[[0-9a-fA-F:]+\]|[A-Za-z0-9][A-Za-z0-9._-]*)(?::(\d{1,5}))?(?:/(\d{1,4}))?")


@dataclass(frozen=True)
class BuildHost:
    """A machine that takes compile jobs, and how many at once."""

    name: str
    port: int = DEFAULT_PORT
    slots: int = _SLOTS

    def __str__(self) -> str:
        return f"{self.name}:{self.port}/{self.slots}"


@dataclass(frozen=True)
class Address:
    """An address of the worker's machine, and a port."""

    ip: IPv4Address | IPv6Address
    port: int

    @property
    def host(self) -> str:
        """The address as it stands before a port."""
        return f"[{self.ip}]" if self.ip.version == 6 else str(self.ip)


def parse(value: str) -> tuple[BuildHost, ...]:
    """Hosts between white space or commas, each as HOST[:PORT][/SLOTS]; raises ValueError."""
    return tuple(_host(word) for word in value.replace(",", " ").split())


def _host(word: str) -> BuildHost:
    found = _HOST.fullmatch(word)
    if found is None:
        raise ValueError(f"has {word!r}, which is not HOST[:PORT][/SLOTS]")
    port, slots = int(found[2] or DEFAULT_PORT), int(found[3] or _SLOTS)
    if not (0 < port < 65536 and slots):
        raise ValueError(f"has {word!r}, whose port or slots cannot be")
    return BuildHost(found[1], port, slots)


def address(text: str) -> Address:
    """Read ADDRESS[:PORT]. Raises WorkerArgumentInvalid."""
    host, colon, port = text.rpartition(":") if text.count(":") == 1 or "]:" in text else (text, "", "")
    try:
        found = Address(ip_address(host.strip("[]")), int(port) if colon else DEFAULT_PORT)
        if not 0 < found.port < 65536:
            raise ValueError(port)
    except ValueError as error:
        fact = f"--listen {text!r} is not ADDRESS[:PORT], where ADDRESS is a number such as 10.0.0.7"
        raise WorkerArgumentInvalid(fact, "ip -brief address, on the worker's machine") from error
    if found.ip.is_unspecified:
        fact = f"--listen {text} would be every address of that machine"
        raise WorkerArgumentInvalid(fact, "name the one where the builders reach it: ip -brief address")
    return found


def network(text: str) -> str:
    """Read an address or a network, as distccd has it. Raises WorkerArgumentInvalid."""
    try:
        return str(ip_network(text, strict=False))
    except ValueError as error:
        raise WorkerArgumentInvalid(
            f"--allow {text!r} is no address or network", "--allow 10.0.0.0/24"
        ) from error
