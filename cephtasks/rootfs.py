"""Rootfs: make a Debian file system from this machine's own apt sources."""

import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import tarfile
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from cephtasks import console
from cephtasks.errors import MmdebstrapMissing, RootfsFailed

OnOutput = Callable[[bytes], None]

_ROOM = 1_500_000_000  # bytes; the largest of ours, with a whole Ceph, takes two thirds of it
_CHUNK = 1 << 20
_TAIL_BYTES = 16384
# Where apt finds what this machine adds to it while the packages are fetched.
_MACHINE_OPTIONS = "/etc/apt/apt.conf.d/90machine"


@dataclass(frozen=True)
class Recipe:
    """A Debian file system: its packages beside apt and the essential ones, and files of ours by their path.

    A folder among the files stands for all files and links below it; everything becomes root's.
    """

    packages: tuple[str, ...]
    files: Mapping[str, Path] = field(default_factory=dict, hash=False)

    def digest(self) -> str:
        """What the recipe amounts to, this machine's Debian release included, in 64 hexadecimal digits."""
        members = [(name, path.lstat().st_mode, _content(path)) for name, path in _members(self.files)]
        document = [release(), sorted(self.packages), members]
        return hashlib.sha256(json.dumps(document).encode()).hexdigest()


def packages_in(file: Path) -> tuple[str, ...]:
    """The packages that a list names: one a line, what follows a # is a comment."""
    lines = (line.partition("#")[0].strip() for line in file.read_text().splitlines())
    return tuple(line for line in lines if line)


def release(os_release: Path = Path("/etc/os-release")) -> str:
    """The codename of this machine's Debian or Ubuntu, such as bookworm. Raises RootfsFailed."""
    text = os_release.read_text() if os_release.exists() else ""
    found = re.search(r'^VERSION_CODENAME="?([\w.-]+)"?$', text, re.MULTILINE)
    if found is None:
        raise RootfsFailed(f"{os_release} names no release of Debian or Ubuntu", f"cat {os_release}")
    return found[1]


def sources(codename: str, folder: Path = Path("/etc/apt")) -> tuple[Path, ...]:
    """The files of this machine's apt sources that name a release, or else those that name stable or testing.

    Repositories of other vendors mostly name neither, and are left out. Raises RootfsFailed for none.
    """
    listed = [folder / "sources.list", *sorted((folder / "sources.list.d").glob("*"))]
    files = [file for file in listed if file.suffix in (".list", ".sources") and file.is_file()]
    for suite in (codename, "stable", "testing"):
        named = re.compile(rf"^[^#\n]*(?<![\w.-]){re.escape(suite)}(?![\w.])", re.MULTILINE)
        if found := tuple(file for file in files if named.search(file.read_text())):
            return found
    raise RootfsFailed(f"{folder} names no apt sources of {codename}", f"ls {folder}/sources.list.d")


@contextmanager
def packed(recipe: Recipe, on_output: OnOutput) -> Iterator[Iterator[bytes]]:
    """The file system as a tar, in chunks, for as long as the block lasts; mmdebstrap's output is passed on.

    The chunks raise RootfsFailed, instead of ending, where mmdebstrap fails. Raises MmdebstrapMissing.
    """
    with tempfile.TemporaryDirectory(prefix="cephtasks-") as scratch:
        _require_room(Path(scratch))
        ours, options = Path(scratch, "files.tar"), Path(scratch, "apt.conf")
        _pack(recipe.files, ours)
        options.write_text(_machine_options())
        command = _command(recipe, ours, options)
        with _running(command) as process:
            said = bytearray()
            listener = threading.Thread(target=_listen, args=(process, said, on_output))
            listener.start()
            try:
                yield _chunks(process, listener, said)
            finally:
                _end(process)
                listener.join()


def _require_room(scratch: Path) -> None:
    """A disk that fills up meanwhile would not fail: apt then waits for ever for its own helper."""
    free = shutil.disk_usage(scratch).free
    if free < _ROOM:
        fact = f"{scratch.parent} has {console.size(free)} left; a file system takes {console.size(_ROOM)}"
        raise RootfsFailed(fact, f"df -h {scratch.parent}, or TMPDIR=FOLDER on a larger disk")


def _command(recipe: Recipe, ours: Path, options: Path) -> Sequence[str]:
    if shutil.which("mmdebstrap") is None:
        raise MmdebstrapMissing("mmdebstrap is not installed", "sudo apt-get install mmdebstrap")
    codename = release()
    hooks = [
        f"--setup-hook=upload {shlex.quote(str(options))} {_MACHINE_OPTIONS}",
        f'--customize-hook=rm "$1"{_MACHINE_OPTIONS}',
        f"--customize-hook=tar-in {shlex.quote(str(ours))} /",
    ]
    included = [f"--include={','.join(recipe.packages)}"] if recipe.packages else []
    found = [str(file) for file in sources(codename)]
    return ["mmdebstrap", "--variant=apt", *included, *hooks, codename, "-", *found]


def _machine_options() -> str:
    """How this machine fetches packages (proxies, certificates), as lines of an apt.conf."""
    dump = subprocess.run(["apt-config", "dump", "Acquire"], capture_output=True, text=True, check=False)
    lines = dump.stdout.splitlines()
    return "".join(f"{line}\n" for line in lines if not line.startswith("Acquire::IndexTargets"))


@contextmanager
def _running(command: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    # A group of its own, as mmdebstrap's first process waits for its others, which must be told too.
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        process_group=0,
    ) as process:
        yield process


def _chunks(process: subprocess.Popen[bytes], listener: threading.Thread, said: bytearray) -> Iterator[bytes]:
    while chunk := _pipe(process.stdout).read(_CHUNK):
        yield chunk
    exit_code = process.wait()
    if exit_code:
        listener.join()
        raise RootfsFailed(
            f"mmdebstrap exited {exit_code}: {_reason(bytes(said))}",
            "as root, or where user namespaces are allowed: apt-get update, and type the same again",
        )


def _listen(process: subprocess.Popen[bytes], said: bytearray, on_output: OnOutput) -> None:
    # Where nobody can be told any more the pipe is closed, which ends mmdebstrap instead of blocking it.
    with _pipe(process.stderr) as output:
        while chunk := os.read(output.fileno(), _CHUNK):
            said += chunk
            del said[:-_TAIL_BYTES]
            on_output(chunk)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End what still runs; mmdebstrap then removes what it had unpacked."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        while _pipe(process.stdout).read(_CHUNK):
            pass
        process.wait()


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None  # noqa: S101 — of the pipes asked for above
    return stream


def _reason(said: bytes) -> str:
    lines = [line.strip() for line in said.decode(errors="replace").splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith("E:")]
    return (telling or lines or ["it said nothing"])[0].removeprefix("E:").strip()


def _members(files: Mapping[str, Path]) -> Iterator[tuple[str, Path]]:
    """Each file and link with its path in the image, without the leading slash, in order."""
    for name, path in sorted(files.items()):
        below = sorted(path.rglob("*")) if path.is_dir() else [path]
        for item in below:
            if item.is_symlink() or item.is_file():
                yield str(Path(name.lstrip("/"), item.relative_to(path))), item


def _content(path: Path) -> str:
    content = os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes()
    return hashlib.sha256(content).hexdigest()


def _pack(files: Mapping[str, Path], target: Path) -> None:
    with tarfile.open(target, "w") as tar:
        for name, path in _members(files):
            tar.add(path, name, recursive=False, filter=_as_root)


def _as_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    return member
