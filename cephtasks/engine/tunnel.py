"""Tunnel: bring a remote engine's socket to this machine, through ssh."""

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from cephtasks.errors import EngineUnreachable

_REMOTE_SOCKET = "/var/run/docker.sock"
_OPTIONS = ("BatchMode=yes", "ConnectTimeout=10", "ExitOnForwardFailure=yes", "ControlPath=none")
_PATIENCE = 30.0  # seconds to log in, of which at most 10 to connect
_PAUSE = 0.02
_PREFIX = "cephtasks-ssh-"
_LONGEST_SOCKET = 107  # bytes of a socket's path (unix(7))


@contextmanager
def tunnel(address: str) -> Iterator[Path]:
    """A local socket that is the engine's at `ssh://[user@]host[:port][/socket]`, while the block lasts.

    Raises EngineUnreachable.
    """
    with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=_roomy()) as folder:
        socket, said = Path(folder) / "socket", Path(folder) / "stderr"
        try:
            ssh = _start(address, socket, said)
        except OSError as error:
            fact = f"ssh cannot be started: {error.strerror}"
            raise EngineUnreachable(fact, "sudo apt-get install openssh-client") from error
        with ssh:
            try:
                _wait(ssh, address, socket, said)
                yield socket
            finally:
                ssh.terminate()


def _roomy() -> str | None:
    """The folder to make a folder for a socket in: the usual one, where that leaves room for its path."""
    socket = f"{tempfile.gettempdir()}/{_PREFIX}xxxxxxxx/socket"
    return None if len(os.fsencode(socket)) <= _LONGEST_SOCKET else "/tmp"  # noqa: S108


def _start(address: str, socket: Path, said: Path) -> "subprocess.Popen[bytes]":
    far = urlsplit(address)
    forward = f"-L{socket}:{far.path or _REMOTE_SOCKET}"
    options = [*(f"-o{option}" for option in _OPTIONS), *_port(address)]
    with said.open("wb") as stderr:
        # `cat` ends with its input, so the tunnel does not outlive this process. A session of its own
        # keeps Ctrl-C from ssh, for containers are removed through it afterwards.
        return subprocess.Popen(
            ["ssh", "-T", *options, forward, "--", _login(address), "cat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            start_new_session=True,
        )


def _wait(ssh: "subprocess.Popen[bytes]", address: str, socket: Path, said: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not socket.exists():
        if ssh.poll() is not None:
            raise _unreachable(address, said.read_text(errors="replace"))
        if time.monotonic() > deadline:
            raise _unreachable(address, "no answer in time")
        time.sleep(_PAUSE)


def _unreachable(address: str, said: str) -> EngineUnreachable:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    why = lines[-1] if lines else "ssh said nothing"
    hint = " ".join(["ssh", *_port(address), _login(address), "docker version"])
    return EngineUnreachable(f"no Docker engine is reached at {address}: {why}", hint)


def _port(address: str) -> list[str]:
    port = urlsplit(address).port
    return ["-p", str(port)] if port else []


def _login(address: str) -> str:
    far = urlsplit(address)
    return f"{far.username}@{far.hostname}" if far.username else far.hostname or ""
