"""Folders: index an install tree, reading only files whose hash is not known."""

import hashlib
import os
import shlex
import stat
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from cephtasks.errors import TreeInvalid
from cephtasks.tree import WHITEOUT_PREFIX, Entry, Kind

_LARGE = 1 << 20  # bytes
_AHEAD = 1 << 8  # entries that the walk is before the hashes at most, so that memory stays flat

Stamp = tuple[int, ...]  # of a file: size, mtime and ctime in nanoseconds, inode, device, mode
Known = Callable[[str, Stamp], str]  # the sha256 of the file of that path and stamp; empty if not known
Scanned = tuple[Entry, Stamp | None]  # a file has the stamp from before it was read


def index_folder(folder: Path) -> dict[str, Entry]:
    """Index a folder as an install tree: everything is root's, whoever compiled it.

    Raises TreeInvalid where the folder is missing or empty, cannot be read, or holds what no image
    can carry: devices, pipes, sockets, names that mean whiteouts.
    """
    return {entry.path: entry for entry, _ in scan_folder(folder, lambda _path, _stamp: "")}


def scan_folder(folder: Path, known: Known) -> Iterator[Scanned]:
    """What a folder holds, in the order of `tree.walk_order`; only files whose hash is not known are read.

    Raises TreeInvalid as `index_folder` does.
    """
    if not folder.is_dir():
        raise TreeInvalid(f"there is no install tree {folder}", "invoke compile, or pack --tree DIR")
    is_empty = True
    for entry, stamp in _hashed(folder, _listed(folder, known)):
        is_empty = is_empty and entry.kind is Kind.FOLDER
        yield entry, stamp
    if is_empty:
        raise TreeInvalid(f"the install tree {folder} is empty", "invoke compile, or pack --tree DIR")


def _listed(folder: Path, known: Known) -> Iterator[Scanned]:
    """What a folder holds; a file whose hash is not known has none."""
    first_names: dict[tuple[int, int], str] = {}
    modes: dict[int, int] = {}  # one number for all files of a mode
    for path, status in _walk(str(folder), ""):
        if not stat.S_ISREG(status.st_mode):
            yield _without_content(folder, path, status), None
        elif status.st_nlink > 1 and first_names.setdefault(_identity(status), path) != path:
            first = first_names[_identity(status)]
            yield Entry(path, Kind.HARDLINK, stat.S_IMODE(status.st_mode), target=first), None
        else:
            stamp, mode = _stamp(status), stat.S_IMODE(status.st_mode)
            sha256 = known(path, stamp)
            yield Entry(path, Kind.FILE, modes.setdefault(mode, mode), status.st_size, sha256), stamp


def _walk(folder: str, below: str) -> Iterator[tuple[str, os.stat_result]]:
    """Every path in a folder, relative to it, with its status; a folder before what it holds."""
    try:
        with os.scandir(f"{folder}/{below}") as listing:
            found = sorted((item.name, item.stat(follow_symlinks=False)) for item in listing)
    except OSError as error:
        raise _unreadable(Path(folder, below), error) from error
    for name, status in found:
        path = f"{below}/{name}" if below else name
        if name.startswith(WHITEOUT_PREFIX):
            raise _no_image_carries(Path(folder, path), "has a name by which images delete")
        yield path, status
        if stat.S_ISDIR(status.st_mode):
            yield from _walk(folder, path)


def _without_content(folder: Path, path: str, status: os.stat_result) -> Entry:
    if stat.S_ISDIR(status.st_mode):
        return Entry(path, Kind.FOLDER, stat.S_IMODE(status.st_mode))
    if stat.S_ISLNK(status.st_mode):
        return Entry(path, Kind.SYMLINK, 0o777, target=_link_target(folder / path))
    raise _no_image_carries(folder / path, "is neither file, folder nor link")


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _stamp(status: os.stat_result) -> Stamp:
    times = status.st_mtime_ns, status.st_ctime_ns
    return (status.st_size, *times, status.st_ino, status.st_dev, status.st_mode)


def _hashed(folder: Path, listed: Iterable[Scanned]) -> Iterator[Scanned]:
    """The same, every file with its hash."""
    waiting: deque[tuple[Entry, Stamp | None, Future[str] | None]] = deque()

    def oldest() -> Scanned:
        entry, stamp, aside = waiting.popleft()
        return (replace(entry, sha256=aside.result()) if aside else entry), stamp

    with ThreadPoolExecutor() as pool:
        try:
            for entry, stamp in listed:
                path = folder / entry.path if stamp and not entry.sha256 else None
                # A small file is hashed sooner than it is handed to a thread.
                is_small = entry.size < _LARGE
                aside = pool.submit(_sha256, path) if path and not is_small else None
                read = replace(entry, sha256=_sha256(path)) if path and is_small else entry
                waiting.append((read, stamp, aside))
                if len(waiting) > _AHEAD:
                    yield oldest()
            while waiting:
                yield oldest()
        finally:
            pool.shutdown(cancel_futures=True)


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(path, error) from error


def _link_target(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> TreeInvalid:
    return TreeInvalid(f"{path} cannot be read: {error.strerror}", f"ls -ld {shlex.quote(str(path))}")


def _no_image_carries(path: Path, why: str) -> TreeInvalid:
    return TreeInvalid(f"{path} {why}; no image can carry it", f"rm {shlex.quote(str(path))}")
