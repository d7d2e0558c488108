"""Registries: real ones on free ports of this machine, with the options that labs use."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab import networks
from lab.networks import Network
from lab.processes import answers, free_port, serving


@dataclass(frozen=True)
class Certificates:
    """A certificate for this machine's own names, its key, and the CA that it comes from."""

    ca: Path
    certificate: Path
    key: Path


@dataclass(frozen=True)
class Tokens:
    """The token service that a registry sends its clients to, and the certificate that it signs with."""

    realm: str
    service: str
    issuer: str
    certificate: Path


@dataclass(frozen=True)
class Registry:
    """A registry that runs: where it is reached, and the folder with its data and its log."""

    host: str
    folder: Path

    @property
    def port(self) -> int:
        """The port of 127.0.0.1 where it listens."""
        return int(self.host.rpartition(":")[2])

    def requests(self) -> list[tuple[str, str, int]]:
        """Method, path and status of everything that was asked so far."""
        return [
            (line["http.request.method"], line["http.request.uri"], line["http.response.status"])
            for line in self._answers()
        ]

    def served_bytes(self) -> int:
        """The bytes of blobs that were sent to whoever fetched some, so far."""
        return sum(
            line.get("http.response.written", 0)
            for line in self._answers()
            if line["http.request.method"] == "GET" and "/blobs/" in line["http.request.uri"]
        )

    def _answers(self) -> list[dict[str, Any]]:
        lines = (self.folder / "log").read_text().splitlines()
        return [json.loads(line) for line in lines if '"msg":"response completed' in line]

    def blob(self, digest: str) -> Path:
        """The file in which the registry keeps a blob."""
        algorithm, _, digits = digest.partition(":")
        return self.folder / "data/docker/registry/v2/blobs" / algorithm / digits[:2] / digits / "data"

    def unfinished(self, repository: str) -> list[Path]:
        """The uploads to a repository that began and neither ended nor were given up."""
        uploads = self.folder / "data/docker/registry/v2/repositories" / repository / "_uploads"
        return list(uploads.glob("*/startedat"))


@contextmanager
def registry(
    folder: Path,
    *,
    port: int = 0,
    address: str = "127.0.0.1",
    maxentries: int = 0,
    login: tuple[str, str] | None = None,
    tls: Certificates | None = None,
    tokens: Tokens | None = None,
    delete: bool = True,
    readonly: bool = False,
    network: Network | None = None,
) -> Iterator[Registry]:
    """Start Debian's docker-registry with its data in `folder`; `login` is a user and a password.

    In a `network` it listens at the address of that, which nobody outside reaches.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    address = networks.ADDRESS if network else address
    http: dict[str, Any] = {"addr": f"{address}:{port}"}
    if tls:
        http["tls"] = {"certificate": str(tls.certificate), "key": str(tls.key)}
    storage = {
        "filesystem": {"rootdirectory": str(folder / "data")},
        "delete": {"enabled": delete},
        "maintenance": {"readonly": {"enabled": readonly}},
    }
    config = {
        "version": "0.1",
        "log": {"level": "info", "formatter": "json", "accesslog": {"disabled": True}},
        "storage": storage,
        "http": http,
        **({"catalog": {"maxentries": maxentries}} if maxentries else {}),
        **_auth(folder, login, tokens),
    }
    (folder / "config.yml").write_text(json.dumps(config))
    command = ["docker-registry", "serve", str(folder / "config.yml")]
    if network:
        with serving(network.within(command), folder / "log", lambda: network.answers(port)):
            yield Registry(f"{address}:{port}", folder)
        return
    with serving(command, folder / "log", lambda: answers(port)):
        yield Registry(f"localhost:{port}", folder)


def certificates(folder: Path) -> Certificates:
    """Make a CA of one's own, and a certificate from it for localhost."""
    folder.mkdir(parents=True, exist_ok=True)
    made = Certificates(folder / "ca.crt", folder / "server.crt", folder / "server.key")
    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    ca_key, request, names = folder / "ca.key", folder / "server.csr", folder / "names"
    _openssl("req", "-x509", *new_key, "-keyout", ca_key, "-out", made.ca, "-subj", "/CN=a lab's own CA")
    _openssl("req", *new_key, "-keyout", made.key, "-out", request, "-subj", "/CN=localhost")
    names.write_text(f"subjectAltName=DNS:localhost,IP:127.0.0.1,IP:0.0.0.0,IP:{networks.ADDRESS}\n")
    signed: list[str | Path] = [
        "-CA",
        made.ca,
        "-CAkey",
        ca_key,
        "-CAcreateserial",
        "-extfile",
        names,
        "-days",
        "30",
    ]
    _openssl("x509", "-req", "-in", request, *signed, "-out", made.certificate)
    return made


def _auth(folder: Path, login: tuple[str, str] | None, tokens: Tokens | None) -> dict[str, Any]:
    if login:
        passwords = folder / "htpasswd"
        subprocess.run(["htpasswd", "-Bbc", str(passwords), *login], check=True, capture_output=True)
        return {"auth": {"htpasswd": {"realm": "lab", "path": str(passwords)}}}
    if tokens:
        token = {"realm": tokens.realm, "service": tokens.service, "issuer": tokens.issuer}
        return {"auth": {"token": {**token, "rootcertbundle": str(tokens.certificate)}}}
    return {}


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
