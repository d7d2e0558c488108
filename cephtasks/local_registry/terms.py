"""Terms: where a registry of this machine listens, how it is spoken to, and by whom."""

import contextlib
import ipaddress
import re
import shlex
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from cephtasks import reference
from cephtasks.errors import HtpasswdInvalid, ListenInvalid, MirrorInvalid, RegistryNotLocal
from cephtasks.local_registry import machine
from cephtasks.registry import is_loopback

# With bcrypt, the only hash that registries read:
# https://distribution.github.io/distribution/about/configuration/#htpasswd
_LISTEN = re.compile(r"(?P<address>\[[^\]]+\]|[^:\[\]]+)(:(?P<port>[0-9]{1,5}))?")
_HTPASSWD_LINE = re.compile(r"[^:\s]+:\$2[abxy]?\$\d\d\$\S{53}\s*")


@dataclass(frozen=True)
class Terms:
    """What was asked of a registry: `host` is its name, as host:port, for whoever is to reach it.

    `htpasswd` is the file of its logins, `mirror_of` the registry that it passes on, as host or URL, and
    `upstream_ca` the file with that one's CA; each is empty where it is not wanted.
    """

    host: str
    address: str
    port: int
    tls: bool = False
    htpasswd: str = ""
    mirror_of: str = ""
    upstream_ca: str = ""

    @property
    def is_open(self) -> bool:
        """Whether other machines reach it."""
        return not ipaddress.ip_address(self.address).is_loopback

    @property
    def listens(self) -> str:
        """Where it listens, as address:port."""
        return _joined(self.address, self.port)

    @property
    def reached_here(self) -> str:
        """How this machine itself surely reaches it, whatever its name means."""
        return f"localhost:{self.port}" if machine.is_every(self.address) else self.listens

    @property
    def url(self) -> str:
        """Its URL."""
        return f"{'https' if self.tls else 'http'}://{self.host}"

    @property
    def command(self) -> str:
        """The line that asks for it."""
        words = ["invoke", "registry.up"]
        words += ["--tls"] * self.tls
        words += [f"--htpasswd={self.htpasswd}"] if self.htpasswd else []
        words += [f"--listen={self.listens}"] if self.is_open else []
        words += [f"--mirror-of={self.mirror_of}"] if self.mirror_of else []
        return shlex.join(words)

    def names(self) -> tuple[str, ...]:
        """The names and addresses that lead to it, which its certificate must have."""
        here = machine.outward() if machine.is_every(self.address) else self.address
        own = (*machine.names(), machine.LOOPBACK, "::1", here, _split(self.host, self.tls)[0])
        return tuple(dict.fromkeys(own))

    def is_meant(self, host: str, names: Collection[str]) -> bool:
        """Whether `host[:port]` is this registry, which has these names."""
        name, port = _split(host, self.tls)
        return port == self.port and name in names


def agreed(
    registry: str,
    listen: str = "",
    tls: bool = False,
    htpasswd: str = "",
    mirror_of: str = "",
    ca: Path | None = None,
) -> Terms:
    """The terms that REGISTRY, the options of `registry.up` and REGISTRY_CA mean.

    Raises RegistryNotLocal, ListenInvalid, HtpasswdInvalid, MirrorInvalid.
    """
    name, registry_port = _split(registry, tls)
    if listen:
        address, port = listen_address(listen)
        port = port or registry_port
        host = _public_name(registry, name, port == registry_port, address, port)
    else:
        address, port, host = _loopback_address(registry, name), registry_port, registry
    logins = str(htpasswd_file(htpasswd)) if htpasswd else ""
    upstream_ca = str(ca.resolve()) if mirror_of and ca else ""
    terms = Terms(host, address, port, tls, logins, mirror_of, upstream_ca)
    if mirror_of and terms.is_meant(upstream(mirror_of)[1], terms.names()):
        fact = f"--mirror-of={mirror_of} is the registry that is to mirror it"
        raise MirrorInvalid(fact, "REGISTRY=localhost:PORT STATE_DIR=FOLDER for the mirror")
    return terms


def listen_address(text: str) -> tuple[str, int]:
    """The address and the port, or 0, of ADDRESS[:PORT]; raises ListenInvalid."""
    found = _LISTEN.fullmatch(f"[{text}]" if text.count(":") > 1 and "[" not in text else text)
    if found is not None and int(found["port"] or 0) < 1 << 16:
        with contextlib.suppress(ValueError):
            return str(ipaddress.ip_address(found["address"].strip("[]"))), int(found["port"] or 0)
    fact = f"--listen={text} is not ADDRESS or ADDRESS:PORT"
    raise ListenInvalid(fact, f"invoke registry.up --listen {machine.EVERY}, for all addresses")


def htpasswd_file(text: str) -> Path:
    """A file of logins, each with a bcrypt hash; raises HtpasswdInvalid, which quotes nothing of it."""
    path = Path(text).expanduser().absolute()
    hint = f"htpasswd -Bc {shlex.quote(text)} USER"
    try:
        lines = [line for line in path.read_text().splitlines() if line.strip() and line[0] != "#"]
    except (OSError, UnicodeDecodeError) as error:
        why = (error.strerror or "").lower() if isinstance(error, OSError) else "it is not UTF-8"
        raise HtpasswdInvalid(f"the logins in {text} cannot be read: {why}", hint) from error
    if not lines:
        raise HtpasswdInvalid(f"{text} has no login", hint)
    if not all(_HTPASSWD_LINE.fullmatch(line) for line in lines):
        fact = f"{text} has a line that is not USER:HASH with a hash by bcrypt, the only one registries read"
        raise HtpasswdInvalid(fact, hint.replace("-Bc", "-B"))
    return path


def upstream(text: str) -> tuple[str, str]:
    """The scheme, or nothing, and the host of a registry to mirror; raises MirrorInvalid."""
    scheme, separator, rest = text.rpartition("://")
    host = rest.rstrip("/")
    if not reference.is_registry(host) or (separator and scheme not in ("http", "https")):
        fact = f"--mirror-of={text} is not a registry as host[:port] or https://host[:port]"
        raise MirrorInvalid(fact, "invoke registry.up --mirror-of docker.io")
    return scheme, host


def _loopback_address(registry: str, name: str) -> str:
    """The address that a REGISTRY on loopback means."""
    if is_loopback(registry):
        return machine.LOOPBACK if name == "localhost" else name
    if machine.leads_here(name, machine.EVERY):
        fact = f"REGISTRY={registry} is not on loopback, so other machines may reach it"
        raise RegistryNotLocal(fact, f"invoke registry.up --tls --htpasswd FILE --listen {machine.EVERY}")
    fact = f"REGISTRY={registry} is not on this machine"
    raise RegistryNotLocal(fact, "REGISTRY=localhost:5000 invoke registry.up")


def _public_name(registry: str, name: str, is_same_port: bool, address: str, port: int) -> str:
    """REGISTRY where whoever may listen reaches it by that name, else the address itself."""
    is_known = not is_loopback(registry) or ipaddress.ip_address(address).is_loopback
    if is_same_port and is_known and machine.leads_here(name, address):
        return registry
    return _joined(machine.outward() if machine.is_every(address) else address, port)


def _split(host: str, tls: bool) -> tuple[str, int]:
    """The name and the port of `host[:port]`."""
    parts = urlsplit(f"//{host}")
    return parts.hostname or "", parts.port or (443 if tls else 80)


def _joined(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
