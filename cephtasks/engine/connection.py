"""Connection: reach the engine that DOCKER_HOST or Docker's context names."""

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import docker
import docker.errors
from docker.context import ContextAPI
from docker.utils import kwargs_from_env, parse_host

from cephtasks.engine.troubles import FAILURES, causes, one_line
from cephtasks.engine.tunnel import tunnel
from cephtasks.errors import CephtasksError, DockerHostInvalid, EngineRefused, EngineUnreachable

_PATIENCE = 10  # seconds for an engine to take a connection, and to say which version it is
_SILENCE = 600  # seconds that a working engine may be silent, as when it writes a large layer to its disk
_LOOK = "docker context ls; printenv DOCKER_HOST"


class Connection:
    """An engine that answered: `api` is the SDK's client."""

    def __init__(self, host: str = "") -> None:
        """Ask the engine at `host`, or else the one that `docker` would take, for its version.

        Raises DockerHostInvalid, EngineUnreachable, EngineRefused.
        """
        with ExitStack() as opened:
            self.api = _connect({"base_url": host} if host else _where(), opened)
            self._opened = opened.pop_all()

    def close(self) -> None:
        """Let go of the engine, and of the ssh that leads to it."""
        self.api.close()
        self._opened.close()


def _where() -> Mapping[str, Any]:
    """What the SDK is to be told of the engine: `base_url`, and `tls` where there is any."""
    try:
        named: Mapping[str, Any] = kwargs_from_env()
        if "base_url" not in named:
            named = {**ContextAPI.kwargs_from_context(), **named}
    except FAILURES as error:
        raise DockerHostInvalid(f"Docker's settings cannot be used: {one_line(error)}", _LOOK) from error
    if "base_url" not in named:
        raise DockerHostInvalid("Docker's current context names no engine", "docker context use default")
    return named


def _connect(where: Mapping[str, Any], opened: ExitStack) -> Any:
    address = where["base_url"]
    try:
        parse_host(address, tls=bool(where.get("tls")))
    except (docker.errors.DockerException, ValueError) as error:
        raise DockerHostInvalid(f"DOCKER_HOST {address!r} is not the address of an engine", _LOOK) from error
    if address.startswith("ssh://"):
        where = {"base_url": f"unix://{opened.enter_context(tunnel(address))}"}
    try:
        api: Any = docker.APIClient(timeout=_PATIENCE, **where)
    except FAILURES as error:
        raise _failure(address, error) from error
    api.timeout = (_PATIENCE, _SILENCE)
    return api


def _failure(address: str, error: BaseException) -> CephtasksError:
    """What it means that there was no version to be had."""
    chain = list(causes(error))
    if any(isinstance(cause, PermissionError) for cause in chain):
        return EngineUnreachable(
            f"you are not allowed to use the Docker engine at {address}",
            'sudo usermod -aG docker "$USER" && newgrp docker, or the same with sudo',
        )
    if any(isinstance(cause, docker.errors.APIError) for cause in chain):
        return EngineRefused(f"the Docker engine at {address} refuses: {one_line(error)}", "docker version")
    local = address.startswith(("unix://", "/"))
    hint = "sudo systemctl start docker, or script/bootstrap" if local else f"docker --host {address} version"
    return EngineUnreachable(
        f"no Docker engine answers at {address}: {one_line(error)}", f"{hint}, or set DOCKER_HOST"
    )
