"""Connection: reach the engine that DOCKER_HOST or Docker's context names."""

import socket
import ssl
from collections.abc import Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import docker
import docker.errors
from docker.context import ContextAPI
from docker.utils import kwargs_from_env, parse_host

from cephtasks.engine.logins import config
from cephtasks.engine.troubles import FAILURES, causes, reason
from cephtasks.engine.tunnel import tunnel
from cephtasks.errors import (
    CephtasksError,
    DockerConfigInvalid,
    DockerHostInvalid,
    EngineNotTrusted,
    EngineRefused,
    EngineUnreachable,
)

CERTIFICATES = ("ca.pem", "cert.pem", "key.pem")  # as in DOCKER_CERT_PATH
_OLDEST = "1.24"  # the oldest API that the SDK knows
_PATIENCE = 10  # seconds for an engine to take a connection, and to say which version it is
_SILENCE = 600  # seconds that a working engine may be silent, as when it writes a large layer to its disk
_LOOK = "docker context ls; printenv DOCKER_HOST"


class Connection:
    """An engine that answered: `api` is the SDK's client, `socket` its path where it is on this machine."""

    def __init__(self, host: str = "", certificates: Path | None = None) -> None:
        """Ask the engine at `host`, or else the one that `docker` would take, for its version.

        `certificates` is a folder with ca.pem, cert.pem and key.pem, for an engine behind TLS. Raises
        DockerConfigInvalid, DockerHostInvalid, EngineUnreachable, EngineNotTrusted, EngineRefused.
        """
        config()  # the SDK reads it whatever it is asked for
        where = _at(host, certificates) if host else _where()
        with ExitStack() as opened:
            try:
                self.api = _connect(where, opened)
            except (*FAILURES, LookupError, TypeError) as error:
                raise _failure(where["base_url"], error, is_named=bool(host)) from error
            self.socket = _socket_at(where["base_url"])
            self._opened = opened.pop_all()

    def close(self) -> None:
        """Let go of the engine, and of the ssh that leads to it."""
        self.api.close()
        self._opened.close()


def _at(host: str, certificates: Path | None) -> Mapping[str, Any]:
    """What the SDK is to be told of an engine that we name."""
    if certificates is None:
        return {"base_url": host}
    ca, certificate, key = (str(certificates / name) for name in CERTIFICATES)
    try:
        tls = docker.tls.TLSConfig(client_cert=(certificate, key), ca_cert=ca, verify=True)
    except docker.errors.TLSParameterError as error:
        raise DockerHostInvalid(
            f"{certificates} lacks one of {', '.join(CERTIFICATES)}", f"ls -l {certificates}"
        ) from error
    return {"base_url": host, "tls": tls}


def _where() -> Mapping[str, Any]:
    """What the SDK is to be told of the engine: `base_url`, and `tls` where there is any."""
    try:
        named: Mapping[str, Any] = kwargs_from_env()
        if "base_url" not in named:
            named = {**ContextAPI.kwargs_from_context(), **named}
    except FAILURES as error:
        raise DockerConfigInvalid(f"Docker's context cannot be used: {reason(error)}", _LOOK) from error
    if "base_url" not in named:
        raise DockerHostInvalid("Docker's current context names no engine", "docker context use default")
    return named


def _connect(where: Mapping[str, Any], opened: ExitStack) -> Any:
    address = where["base_url"]
    _require_address(address, bool(where.get("tls")))
    if address.startswith("ssh://"):
        where = {"base_url": f"unix://{opened.enter_context(tunnel(address))}"}
    # The SDK would ask for the version too, but leave its sockets open where there is no answer.
    _knock(where["base_url"])
    with closing(_client(_OLDEST, where)) as asking:
        asking.timeout = _PATIENCE
        spoken = asking.version(api_version=False)["ApiVersion"]
    api = _client(spoken, where)
    api.timeout = (_PATIENCE, _SILENCE)
    return api


def _client(version: str, where: Mapping[str, Any]) -> Any:
    client: Any = docker.APIClient(version=version, **where)
    client.trust_env = False  # or REQUESTS_CA_BUNDLE would win over the CA of the engine
    return client


def _require_address(address: str, tls: bool) -> None:
    """Raises DockerHostInvalid for what cannot be an address."""
    try:
        if urlsplit(address).scheme != "ssh":
            parse_host(address, tls=tls)
        elif urlsplit(address).port == 0 or not urlsplit(address).hostname:
            raise ValueError("no host")
    except (docker.errors.DockerException, ValueError) as error:
        raise DockerHostInvalid(f"DOCKER_HOST {address!r} is not the address of an engine", _LOOK) from error


def _knock(address: str) -> None:
    """Raises OSError where nobody listens at a local socket."""
    if path := _socket_at(address):
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(_PATIENCE)
            probe.connect(path)


def _socket_at(address: str) -> str:
    """The path of a local socket, empty for other addresses."""
    if address.startswith("ssh://"):  # it may have a path, which is not of this machine
        return ""
    path = str(parse_host(address)).removeprefix("http+unix://")
    return path if path.startswith("/") else ""


def _failure(address: str, error: BaseException, is_named: bool) -> CephtasksError:
    """What it means that there was no version to be had; `is_named`: not by DOCKER_HOST."""
    chain = list(causes(error))
    if any(isinstance(cause, PermissionError) for cause in chain):
        return EngineUnreachable(
            f"you are not allowed to use the Docker engine at {address}",
            'sudo usermod -aG docker "$USER" && newgrp docker, or the same with sudo',
        )
    if any(isinstance(cause, docker.errors.APIError) for cause in chain):
        return EngineRefused(f"the Docker engine at {address} refuses: {reason(error)}", "docker version")
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in chain):
        return EngineNotTrusted(
            f"the certificate of the Docker engine at {address} cannot be verified: {reason(error)}",
            "the CA of that engine in ca.pem",
        )
    fact, look = f"no Docker engine answers at {address}: {reason(error)}", f"docker --host {address} version"
    if is_named:
        return EngineUnreachable(fact, look)
    local = address.startswith(("unix://", "/"))
    hint = "sudo systemctl start docker, or script/bootstrap" if local else look
    return EngineUnreachable(fact, f"{hint}, or set DOCKER_HOST")
