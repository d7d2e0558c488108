"""Folders: index an install tree, reading only files whose hash is not known."""

import hashlib
import os
import shlex
import stat
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from cephtasks.errors import TreeInvalid
from cephtasks.tree import WHITEOUT_PREFIX, Entry, Kind

_LARGE = 1 << 20  # bytes

Stamp = tuple[int, ...]  # of a file: size, mtime and ctime in nanoseconds, inode, device, mode
Known = Callable[[str, Stamp], str]  # the sha256 of the file of that path and stamp; empty if not known


@dataclass(frozen=True)
class Scan:
    """A folder's index, and the stamp that each file had before it was read."""

    index: dict[str, Entry]
    stamps: dict[str, Stamp]


def index_folder(folder: Path) -> dict[str, Entry]:
    """Index a folder as an install tree: everything is root's, whoever compiled it.

    Raises TreeInvalid where the folder is missing or empty, cannot be read, or holds what no image
    can carry: devices, pipes, sockets, names that mean whiteouts.
    """
    return scan_folder(folder, lambda _path, _stamp: "").index


def scan_folder(folder: Path, known: Known) -> Scan:
    """Index a folder, reading only files whose hash is not known; raises TreeInvalid as `index_folder`."""
    if not folder.is_dir():
        raise TreeInvalid(f"there is no install tree {folder}", "invoke compile, or pack --tree DIR")
    scan = Scan({}, {})
    first_names: dict[tuple[int, int], str] = {}
    for path, status in _walk(str(folder), ""):
        if stat.S_ISREG(status.st_mode) and first_names.setdefault(_identity(status), path) == path:
            stamp = scan.stamps[path] = _stamp(status)
            mode = stat.S_IMODE(status.st_mode)
            scan.index[path] = Entry(path, Kind.FILE, mode, status.st_size, known(path, stamp))
        else:
            scan.index[path] = _without_content(folder, path, status, first_names)
    if all(entry.kind is Kind.FOLDER for entry in scan.index.values()):
        raise TreeInvalid(f"the install tree {folder} is empty", "invoke compile, or pack --tree DIR")
    unread = [scan.index[path] for path in scan.stamps if not scan.index[path].sha256]
    scan.index.update((entry.path, entry) for entry in _hashed(folder, unread))
    return scan


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


def _without_content(
    folder: Path, path: str, status: os.stat_result, first_names: dict[tuple[int, int], str]
) -> Entry:
    mode = stat.S_IMODE(status.st_mode)
    if stat.S_ISDIR(status.st_mode):
        return Entry(path, Kind.FOLDER, mode)
    if stat.S_ISLNK(status.st_mode):
        return Entry(path, Kind.SYMLINK, 0o777, target=_link_target(folder / path))
    if stat.S_ISREG(status.st_mode):
        return Entry(path, Kind.HARDLINK, mode, target=first_names[_identity(status)])
    raise _no_image_carries(folder / path, "is neither file, folder nor link")


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _stamp(status: os.stat_result) -> Stamp:
    times = status.st_mtime_ns, status.st_ctime_ns
    return (status.st_size, *times, status.st_ino, status.st_dev, status.st_mode)


def _hashed(folder: Path, files: Sequence[Entry]) -> Iterator[Entry]:
    with ThreadPoolExecutor() as pool:
        # A small file is hashed sooner than it is handed to a thread.
        aside = {file.path: pool.submit(_sha256, folder / file.path) for file in files if file.size >= _LARGE}
        for file in files:
            sha256 = aside[file.path].result() if file.path in aside else _sha256(folder / file.path)
            yield Entry(file.path, Kind.FILE, file.mode, file.size, sha256)


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
