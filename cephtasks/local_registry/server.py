"""Server: start the registry's program by this machine's command or in a container, and end it."""

import errno
import os
import shutil
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from cephtasks import console
from cephtasks.engine import Engine, Mount, RunSpec
from cephtasks.errors import (
    CephtasksError,
    EngineUnreachable,
    Interrupted,
    LocalRegistryFailed,
    PortTaken,
    PullFailed,
)
from cephtasks.local_registry import process
from cephtasks.local_registry.folder import RegistryFolder, Running
from cephtasks.local_registry.process import Process
from cephtasks.local_registry.terms import Terms
from cephtasks.registry import Client

COMMAND = "docker-registry"
IMAGE = "registry:2"
_PORT_INSIDE = 5000
_PATIENCE = 20.0  # seconds that a registry may take to answer
_POLL = 0.05

Connect = Callable[[], Engine]


def start(terms: Terms, folder: RegistryFolder, connect: Connect, image: str) -> None:
    """Start a registry as its folder's config says, and wait until it answers; or leave nothing behind.

    Raises LocalRegistryFailed, StateUnwritable, Interrupted.
    """
    command = shutil.which(COMMAND)
    running = None
    try:
        now = time.time()
        if command:
            running = Running(terms, terms.names(), now, _start_process(command, terms, folder))
        else:
            engine = _engine_with(connect, image)
            running = Running(terms, terms.names(), now, container=f"cephtasks-registry-{terms.port}")
            _start_container(running, folder, engine, image)
        folder.remember(running)
        await_answer(running, folder, connect)
    except BaseException as error:
        if running:
            end(running, folder, connect)
        if isinstance(error, KeyboardInterrupt):
            raise Interrupted("the start of the registry was stopped", terms.command) from error
        raise


def is_running(running: Running, connect: Connect) -> bool:
    """Whether its program runs."""
    if running.process:
        return process.is_running(running.process)
    return bool(running.container and connect().running(running.container))


def end(running: Running, folder: RegistryFolder, connect: Connect) -> None:
    """End it, where that is to be done, and note that. Raises LocalRegistryFailed for another user's."""
    try:
        if running.process:
            process.end(running.process)
        elif running.container:
            connect().remove(running.container)
    except PermissionError as error:
        fact = f"the registry at {running.terms.host} was started by another user"
        raise LocalRegistryFailed(fact, f"sudo {running.ends_by}") from error
    folder.remember(replace(running, process=None, container=""))


def await_answer(running: Running, folder: RegistryFolder, connect: Connect) -> None:
    """Return once the registry answers; raises LocalRegistryFailed where it ended, or takes too long."""
    hint = f"less {folder.log}" if running.process else f"docker logs {running.container}"
    deadline = time.monotonic() + _PATIENCE
    while (trouble := silence(running.terms, folder)) is not None:
        if not is_running(running, connect):
            fact = f"the registry ended at once: {folder.last_words()}"
            raise LocalRegistryFailed(fact, hint) from trouble
        if time.monotonic() > deadline:
            raise LocalRegistryFailed(f"the registry does not answer: {trouble.fact}", hint) from trouble
        time.sleep(_POLL)


def silence(terms: Terms, folder: RegistryFolder) -> CephtasksError | None:
    """Why the registry does not answer; None where it does."""
    ca, insecure = (folder.ca, ()) if terms.tls else (None, (terms.reached_here,))
    with Client(terms.reached_here, ca, insecure) as client:
        try:
            _ = client.base
        except CephtasksError as error:
            return error
    return None


def require_free(terms: Terms, port: int) -> None:
    """Raise PortTaken or LocalRegistryFailed where nobody can listen at that port (0: any) of the address."""
    family = socket.AF_INET6 if ":" in terms.address else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the registry itself does
        try:
            probe.bind((terms.address, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                who = f"ss --listening --tcp --processes 'sport = :{port}'"
                fact = f"another program listens at {terms.host}"
                raise PortTaken(fact, f"{who}, or another REGISTRY in .env") from error
            fact = f"nothing can listen at {terms.listens}: {error.strerror}"
            raise LocalRegistryFailed(fact, "REGISTRY=localhost:5000 invoke registry.up") from error


def _start_process(command: str, terms: Terms, folder: RegistryFolder) -> Process:
    try:
        return process.start([command, "serve", str(folder.config)], folder.log, _environment(terms))
    except OSError as error:
        fact = f"{command} cannot be started: {error.strerror}"
        raise LocalRegistryFailed(fact, f"ls -l {command} {folder.log}") from error


def _environment(terms: Terms) -> dict[str, str]:
    """Go's own variable is the only way to tell the registry which CA to trust in what it mirrors."""
    return {"SSL_CERT_FILE": terms.upstream_ca} if terms.upstream_ca else {}


def _engine_with(connect: Connect, image: str) -> Engine:
    """An engine that has the registry's image."""
    try:
        engine = connect()
        if engine.image(image) is None:
            with console.bars() as bars:
                engine.pull(image, bars.update)
    except (EngineUnreachable, PullFailed) as error:
        fact = f"there is no command {COMMAND}, and no image {image}: {error.fact}"
        raise LocalRegistryFailed(fact, f"apt-get install {COMMAND}") from error
    return engine


def _start_container(running: Running, folder: RegistryFolder, engine: Engine, image: str) -> None:
    """Files have the same path inside, so one config serves both ways; only the address differs."""
    terms = running.terms
    given = [Path(path) for path in (terms.htpasswd, terms.upstream_ca) if path]
    spec = RunSpec(
        image,
        ("serve", str(folder.config)),
        entrypoint=("registry",),
        env={"REGISTRY_HTTP_ADDR": f":{_PORT_INSIDE}", **_environment(terms)},
        mounts=(
            Mount(folder.path, str(folder.path)),
            *(Mount(path, str(path), read_only=True) for path in given),
        ),
        user=f"{os.getuid()}:{os.getgid()}",
        network="bridge",
        purpose="registry",
    )
    engine.remove(running.container)  # what a machine that went down left behind
    engine.start(running.container, spec, {_PORT_INSIDE: (terms.address, terms.port)})
