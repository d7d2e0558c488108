"""Local registry: start and stop a registry of this machine's own, with its data in STATE_DIR."""

import errno
import os
import shutil
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from cephtasks import console, process
from cephtasks.engine import Engine, Mount, RunSpec
from cephtasks.errors import (
    CephtasksError,
    EngineUnreachable,
    Interrupted,
    LocalRegistryFailed,
    PortTaken,
    PullFailed,
    RegistryNotLocal,
)
from cephtasks.process import Process
from cephtasks.registry import Client, is_loopback
from cephtasks.registry_folder import RegistryFolder, Running
from cephtasks.settings import Settings

COMMAND = "docker-registry"
IMAGE = "registry:2"
_PORT_INSIDE = 5000
_PATIENCE = 20.0  # seconds that a registry may take to answer
_POLL = 0.05

Connect = Callable[[], Engine]


@dataclass(frozen=True)
class LocalRegistry:
    """A registry of this machine: where it listens, the folder of its data, and whether it was up already."""

    host: str
    data: Path
    was_up: bool


def up(settings: Settings, connect: Connect, dry: bool = False, image: str = IMAGE) -> LocalRegistry:
    """Start a registry at REGISTRY, or find it up; by Debian's command, or where that is missing, `image`.

    `connect` reaches the engine where it is needed. Raises RegistryNotLocal, PortTaken,
    LocalRegistryFailed, StateUnwritable, Interrupted.
    """
    host, folder = settings.registry, _folder(settings)
    if not is_loopback(host):
        fact = f"REGISTRY={host} is not on this machine"
        raise RegistryNotLocal(fact, "REGISTRY=localhost:5000 invoke registry.up")
    if dry:
        console.say(f"{COMMAND} serve {folder.config}")
        return LocalRegistry(host, folder.data, was_up=False)
    with folder.held():
        running = folder.recall()
        was_up = running is not None and _is_running(running, connect)
        if running and was_up:
            _require_same_host(running, host)
            _await_answer(running, folder, connect)
            console.say(f"the registry at {host} is up already")
        else:
            if running:
                _end(running, folder, connect)
            _require_free_port(host)
            _start(host, folder, connect, image)
            console.say(f"a registry is up at {host}, with its data in {folder.data}")
    return LocalRegistry(host, folder.data, was_up)


def down(settings: Settings, connect: Connect, dry: bool = False) -> bool:
    """Stop the registry that `up` started, and keep its data; returns whether there was one.

    `connect` reaches the engine where it is needed. Raises LocalRegistryFailed, StateUnwritable.
    """
    folder = _folder(settings)
    if folder.recall() is None:
        console.say("no registry of ours is up")
        return False
    with folder.held():
        running = folder.recall()
        was_up = running is not None and _is_running(running, connect)
        if running and dry:
            console.say(running.ends_by)
        elif running:
            _end(running, folder, connect)
            console.say(f"the registry at {running.host} is down{'' if was_up else ' already'}")
    return was_up


def _folder(settings: Settings) -> RegistryFolder:
    return RegistryFolder(settings.state_dir.resolve() / "registry")


def _start(host: str, folder: RegistryFolder, connect: Connect, image: str) -> None:
    """Start it, by whichever way this machine has, and wait until it answers; or leave nothing behind."""
    name, port = _address(host)
    folder.configure(f"[{name}]:{port}" if ":" in name else f"{name}:{port}")
    command = shutil.which(COMMAND)
    running = None
    try:
        if command:
            running = Running(host, _start_process(command, folder))
        else:
            engine = _engine_with(connect, image)
            running = Running(host, container=f"cephtasks-registry-{port}")
            _start_container(running, folder, engine, image)
        folder.remember(running)
        _await_answer(running, folder, connect)
    except BaseException as error:
        if running:
            _end(running, folder, connect)
        if isinstance(error, KeyboardInterrupt):
            raise Interrupted("the start of the registry was stopped", "invoke registry.up") from error
        raise


def _start_process(command: str, folder: RegistryFolder) -> Process:
    try:
        return process.start([command, "serve", str(folder.config)], folder.log)
    except OSError as error:
        fact = f"{command} cannot be started: {error.strerror}"
        raise LocalRegistryFailed(fact, f"ls -l {command} {folder.log}") from error


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
    """The folder has the same path inside, so one config serves both ways; only the address differs."""
    spec = RunSpec(
        image,
        ("serve", str(folder.config)),
        entrypoint=("registry",),
        env={"REGISTRY_HTTP_ADDR": f":{_PORT_INSIDE}"},
        mounts=(Mount(folder.path, str(folder.path)),),
        user=f"{os.getuid()}:{os.getgid()}",
        network="bridge",
        purpose="registry",
    )
    engine.remove(running.container)  # what a machine that went down left behind
    engine.start(running.container, spec, {_PORT_INSIDE: _address(running.host)})


def _is_running(running: Running, connect: Connect) -> bool:
    if running.process:
        return process.is_running(running.process)
    return connect().is_running(running.container)


def _end(running: Running, folder: RegistryFolder, connect: Connect) -> None:
    try:
        if running.process:
            process.end(running.process)
        else:
            connect().remove(running.container)
    except PermissionError as error:
        fact = f"the registry at {running.host} was started by another user"
        raise LocalRegistryFailed(fact, f"sudo {running.ends_by}") from error
    folder.forget()


def _await_answer(running: Running, folder: RegistryFolder, connect: Connect) -> None:
    """Return once the registry answers; raises LocalRegistryFailed where it ended, or takes too long."""
    hint = f"less {folder.log}" if running.process else f"docker logs {running.container}"
    deadline = time.monotonic() + _PATIENCE
    with Client(running.host) as client:
        while True:
            try:
                _ = client.base
            except CephtasksError as error:
                if not _is_running(running, connect):
                    fact = f"the registry ended at once: {folder.last_words()}"
                    raise LocalRegistryFailed(fact, hint) from error
                if time.monotonic() > deadline:
                    raise LocalRegistryFailed(f"the registry does not answer: {error.fact}", hint) from error
                time.sleep(_POLL)
            else:
                return


def _require_same_host(running: Running, host: str) -> None:
    if running.host != host:
        fact = f"the registry of this STATE_DIR is up at {running.host}, not at {host}"
        raise LocalRegistryFailed(fact, f"REGISTRY={host} invoke registry.down registry.up")


def _require_free_port(host: str) -> None:
    address = _address(host)
    with socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the registry itself does
        try:
            probe.bind(address)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                who = f"ss --listening --tcp --processes 'sport = :{address[1]}'"
                raise PortTaken(
                    f"another program listens at {host}", f"{who}, or another REGISTRY in .env"
                ) from error
            fact = f"nothing can listen at {host}: {error.strerror}"
            raise LocalRegistryFailed(fact, "REGISTRY=localhost:5000 invoke registry.up") from error


def _address(host: str) -> tuple[str, int]:
    """The address and the port that `host[:port]` of loopback means."""
    parts = urlsplit(f"//{host}")
    name = parts.hostname or ""
    return "127.0.0.1" if name == "localhost" else name, parts.port or 80
