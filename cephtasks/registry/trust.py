"""Trust: decide by which CAs a host is verified, and which certificate of one's own it is shown.

Folders: https://docs.docker.com/engine/security/certificates/
"""

import contextlib
import os
import ssl
import threading
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from requests.utils import DEFAULT_CA_BUNDLE_PATH

from cephtasks.errors import RegistryCaInvalid, RegistryCertsInvalid

_FOLDERS = (Path("/etc/docker/certs.d"), Path("~/.docker/certs.d"))  # the engine's, and one's own


@dataclass(frozen=True)
class Certificates:
    """Files for one host: CA certificates, and certificates of one's own, each with its key."""

    cas: tuple[Path, ...] = ()
    pairs: tuple[tuple[Path, Path], ...] = ()


class Trust:
    """Who is believed to be who: REGISTRY_CA for the registry, Docker's certs.d and the system's CAs for all.

    Raises RegistryCaInvalid, RegistryCertsInvalid; for the registry itself at once.
    """

    def __init__(self, registry: str, ca: Path | None) -> None:
        self._ca = ca
        self._ca_hosts = {registry}
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._lock = threading.Lock()
        self.has_own = self._certificates(registry) != Certificates()
        if self.has_own:
            self.context(f"https://{registry}")

    def extend(self, url: str) -> None:
        """Let REGISTRY_CA hold for the token service too: who can pose as the registry can name any."""
        self._ca_hosts.add(urlsplit(url).netloc)

    def context(self, url: str) -> ssl.SSLContext:
        """What a connection to a URL's host is made with; the same each time."""
        host = urlsplit(url).netloc
        with self._lock:
            if host not in self._contexts:
                self._contexts[host] = self._made(self._certificates(host))
            return self._contexts[host]

    def curl_options(self, url: str) -> list[str]:
        """How curl is told of it."""
        if not url.startswith("https:"):
            return []
        own = self._certificates(urlsplit(url).netloc)
        options = [word for ca in own.cas[:1] for word in ("--cacert", str(ca))]
        for certificate, key in own.pairs[:1]:
            # What follows a colon would be the key's password.
            options += ["--cert", str(certificate).replace(":", "\\:"), "--key", str(key)]
        return options

    def hint(self, host: str) -> str:
        """What to do about a host whose CA is not known."""
        own = ", ".join(str(ca) for ca in self._certificates(host).cas)
        if own:
            return f"{own} is of another CA; to see whose: openssl s_client -showcerts -connect {host}"
        file = f"the CA's certificate as {_FOLDERS[0] / host}/ca.crt"
        return f"REGISTRY_CA=FILE in .env, or {file}" if host in self._ca_hosts else file

    def _certificates(self, host: str) -> Certificates:
        found = certificates(host)
        if self._ca and host in self._ca_hosts:
            return Certificates((self._ca, *found.cas), found.pairs)
        return found

    def _made(self, own: Certificates) -> ssl.SSLContext:
        # As Go does it, so docker and we believe the same: the system's CAs and our own, also intermediate
        # ones, and none of the strictness about a CA's extensions that labs are not aware of.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.load_default_certs()
        if not _system_has_cas():
            context.load_verify_locations(DEFAULT_CA_BUNDLE_PATH)
        for ca in own.cas:
            self._load_ca(context, ca)
        for certificate, key in own.pairs:
            _load_pair(context, certificate, key)
        return context

    def _load_ca(self, context: ssl.SSLContext, ca: Path) -> None:
        try:
            context.load_verify_locations(ca)
        except OSError as error:
            if ca == self._ca:
                fact = f"REGISTRY_CA={ca} is no file with CA certificates"
                raise RegistryCaInvalid(fact, f"ls -l {ca}") from error
            raise RegistryCertsInvalid(f"{ca} is no file with CA certificates", f"ls -l {ca}") from error


def certificates(host: str) -> Certificates:
    """What Docker's certs.d has for a host: `*.crt` are CAs, `*.cert` one's own with a `*.key` each.

    Raises RegistryCertsInvalid.
    """
    files = sorted(path for folder in _folders(host) for path in _listed(folder))
    cas = tuple(path for path in files if path.suffix == ".crt")
    own = [path for path in files if path.suffix == ".cert"]
    for lone in (
        *(path for path in own if path.with_suffix(".key") not in files),
        *(path for path in files if path.suffix == ".key" and path.with_suffix(".cert") not in files),
    ):
        other = lone.with_suffix(".key" if lone.suffix == ".cert" else ".cert")
        raise RegistryCertsInvalid(f"{lone} has no {other.name} beside it", f"ls -l {lone.parent}")
    return Certificates(cas, tuple((path, path.with_suffix(".key")) for path in own))


def client_certificate(host: str) -> str:
    """Where a certificate of one's own is looked for."""
    return f"{_FOLDERS[1] / host}/client.cert and client.key"


def _folders(host: str) -> list[Path]:
    return [Path(os.path.expanduser(folder), host) for folder in _FOLDERS]  # noqa: PTH111 — some have no home


def _listed(folder: Path) -> list[Path]:
    # The engine's own folder may be closed to who is not root, and there need be nothing in it.
    with contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError):
        return list(folder.iterdir())
    return []


def _load_pair(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    def no_password() -> bytes:
        raise RegistryCertsInvalid(f"{key} wants a password", f"openssl pkey -in {key} -out {key}")

    try:
        context.load_cert_chain(certificate, key, no_password)
    except OSError as error:  # SSLError is one, without an errno of the system
        fact = f"{certificate} with {key.name} is no certificate with its key"
        if not isinstance(error, ssl.SSLError):
            fact = f"{certificate} or {key.name} cannot be read: {error.strerror}"
        raise RegistryCertsInvalid(fact, f"ls -l {certificate.parent}") from error


def _system_has_cas() -> bool:
    """Whether this system keeps CAs where its OpenSSL looks (SSL_CERT_FILE and SSL_CERT_DIR tell too)."""
    paths = ssl.get_default_verify_paths()
    return bool(paths.cafile or (paths.capath and any(Path(paths.capath).iterdir())))
