"""Engines: the engine of this machine, more engines as cluster nodes, and a tiny image to run on them."""

import io
import itertools
import os
import secrets
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from cephtasks.engine import Engine
from lab.networks import Network
from lab.processes import serving

_BUSYBOX = Path("/bin/busybox")
_bridges = itertools.count()


@dataclass(frozen=True)
class Node:
    """An engine of its own, with an empty store: what a cluster's node is."""

    socket: Path
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        """Where it is reached."""
        return f"unix://{self.socket}"

    def docker(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the docker command against this node."""
        return subprocess.run(
            ["docker", "-H", self.url, *arguments],
            check=check,
            capture_output=True,
            text=True,
        )


@contextmanager
def node(folder: Path, *options: str, network: Network | None = None) -> Iterator[Node]:
    """Start an engine with its data in `folder`, alone on a bridge or in a network; root and Linux only."""
    folder.mkdir(parents=True, exist_ok=True)
    # The path of a socket has at most 108 bytes, and a test's own folder may take most of them.
    sockets = Path(tempfile.mkdtemp(prefix="ctnode-"))
    socket = sockets / "sock"
    command = ["dockerd", f"--data-root={folder}/data", f"--exec-root={sockets}/exec"]
    command += [f"--pidfile={folder}/pid", f"--host=unix://{socket}", "--iptables=false", *options]
    try:
        with ExitStack() as made:
            bridge = "none" if network else made.enter_context(_bridge())
            command.append(f"--bridge={bridge}")
            command = network.within(command) if network else command
            with serving(command, folder / "log", lambda: _answers(socket)) as process:
                yield Node(socket, process)
    finally:
        for used in (folder, sockets):
            for mount in sorted(_mounts_below(used), reverse=True):
                subprocess.run(["umount", mount], check=False)
            shutil.rmtree(used, ignore_errors=True)


@contextmanager
def _bridge() -> Iterator[str]:
    bridge, part = f"ct{os.getpid() % 100000}n{next(_bridges)}", secrets.randbelow(1 << 14)
    subnet = f"100.{64 + part // 256}.{part % 256}"  # carriers have these to themselves (RFC 6598)
    subprocess.run(["ip", "link", "add", bridge, "type", "bridge"], check=True)
    try:
        subprocess.run(["ip", "addr", "add", f"{subnet}.1/24", "dev", bridge], check=True)
        subprocess.run(["ip", "link", "set", bridge, "up"], check=True)
        yield bridge
    finally:
        subprocess.run(["ip", "link", "delete", bridge], check=True)


def _answers(socket: Path) -> bool:
    asked = subprocess.run(["docker", "-H", f"unix://{socket}", "version"], capture_output=True, check=False)
    return asked.returncode == 0


def tiny_image(
    engine: Engine,
    name: str,
    *changes: str,
    files: dict[str, bytes] | None = None,
    links: dict[str, str] | None = None,
    private: Sequence[str] = (),
) -> str:
    """Make an image of a megabyte with busybox's shell and commands, further files and symlinks; its id.

    `private` folders may only be entered by root.
    """
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        modes = dict.fromkeys(("bin", "usr", "usr/bin", "etc"), 0o755)
        for folder, mode in {**modes, "tmp": 0o1777, **dict.fromkeys(private, 0o700)}.items():
            member = tarfile.TarInfo(folder)
            member.type, member.mode = tarfile.DIRTYPE, mode
            tar.addfile(member)
        tar.add(_BUSYBOX, "bin/busybox")
        for path, target in (links or {}).items():
            member = tarfile.TarInfo(path)
            member.type, member.linkname = tarfile.SYMTYPE, target
            tar.addfile(member)
        for command in ("sh", "cat", "echo", "ls", "sleep", "id", "env", "mkdir", "touch", "true", "false"):
            link = tarfile.TarInfo(f"bin/{command}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
        for path, data in (files or {}).items():
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(data), 0o755
            tar.addfile(member, io.BytesIO(data))
    return engine.import_tar([content.getvalue()], name, changes)


def _mounts_below(folder: Path) -> list[str]:
    lines = Path("/proc/self/mounts").read_text().splitlines()
    return [fields[1] for fields in map(str.split, lines) if fields[1].startswith(f"{folder}/")]
