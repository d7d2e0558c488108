"""Trees: index the files of a folder, of a layer, or of a stack of layers."""

import hashlib
import os
import posixpath
import shlex
import stat
import tarfile
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import IO, Any

from cephtasks.errors import TreeInvalid

WHITEOUT_PREFIX = ".wh."
OPAQUE_MARKER = ".wh..wh..opq"
_AUFS_PREFIX = ".wh..wh."  # notes that old engines left in layers for themselves
_CHUNK = 1 << 20
_MOST_LINKS = 40  # Linux gives up on a path after as many symlinks (ELOOP)


class Kind(StrEnum):
    """What an entry is; the last two occur in layers only (image-spec, layer.md, Whiteouts)."""

    FILE = "file"
    FOLDER = "folder"
    SYMLINK = "symlink"
    HARDLINK = "hardlink"
    SPECIAL = "special"
    WHITEOUT = "whiteout"
    OPAQUE = "opaque"


_MARKERS = frozenset({Kind.WHITEOUT, Kind.OPAQUE})
_KINDS = {kind.value: kind for kind in Kind}


@dataclass(frozen=True, slots=True)
class Entry:
    """One path of a tree, relative to the image's root; `mode` holds the permission bits, setuid included."""

    path: str
    kind: Kind
    mode: int = 0o755
    size: int = 0
    sha256: str = ""
    target: str = ""
    uid: int = 0
    gid: int = 0


Index = Mapping[str, Entry]
_ROOT = Entry("", Kind.FOLDER)


def to_row(entry: Entry) -> list[str | int]:
    """An entry as a JSON row, in the order of its fields."""
    return [
        entry.path,
        entry.kind,
        entry.mode,
        entry.size,
        entry.sha256,
        entry.target,
        entry.uid,
        entry.gid,
    ]


def from_row(row: Sequence[Any]) -> Entry:
    """The entry of a JSON row; raises KeyError, TypeError or ValueError for any other."""
    path, kind, *rest = row
    return Entry(path, _KINDS[kind], *rest)


def index_folder(folder: Path) -> dict[str, Entry]:
    """Index a folder as an install tree: everything is root's, whoever compiled it.

    Raises TreeInvalid where the folder is missing or empty, cannot be read, or holds what no image
    can carry: devices, pipes, sockets, names that mean whiteouts.
    """
    if not folder.is_dir():
        raise TreeInvalid(f"there is no install tree {folder}", "invoke compile, or pack --tree DIR")
    first_names: dict[tuple[int, int], str] = {}
    entries = [_entry_of(folder, name, status, first_names) for name, status in _walk(folder, "")]
    if not any(entry.kind is not Kind.FOLDER for entry in entries):
        raise TreeInvalid(f"the install tree {folder} is empty", "invoke compile, or pack --tree DIR")
    with ThreadPoolExecutor() as pool:
        # A small file is hashed sooner than it is handed to a thread.
        aside = {entry.path: pool.submit(_hashed, entry, folder) for entry in entries if entry.size >= _CHUNK}
        return {
            entry.path: aside[entry.path].result() if entry.path in aside else _hashed(entry, folder)
            for entry in entries
        }


def index_tar(stream: IO[bytes]) -> Iterator[Entry]:
    """The entries of a layer's tar, in its order, whiteouts among them; raises tarfile.TarError."""
    with tarfile.open(fileobj=stream, mode="r|", encoding="utf-8", errors="surrogateescape") as tar:
        for member in tar:
            path = _normal(member.name)
            if path and not _is_aufs_note(path):
                yield _entry_in_tar(path, member, tar)


def flatten(layers: Iterable[Iterable[Entry]]) -> dict[str, Entry]:
    """What a container sees of a stack of layers, bottom first.

    A layer's whiteouts hide what lies in the layers below it, never what it brings itself
    (image-spec, layer.md, Whiteouts). Folders that a layer needs and does not name are made up by
    the engine that unpacks it, whatever lies below.
    """
    seen: dict[str, Entry] = {}
    for layer in layers:
        named = tuple(layer)
        entries = (*_made_up_folders(named), *named)
        for path in _hidden(seen, entries):
            del seen[path]
        seen.update((entry.path, entry) for entry in entries if entry.kind not in _MARKERS)
    return seen


def resolve(path: str, below: Index) -> str:
    """Where a path really lies in an image: symlinks among its parents are followed, its last part is not.

    On a usr-merged base `lib/libceph.so` is `usr/lib/libceph.so`. Raises TreeInvalid for loops.
    """
    pending = _parts(path)
    done: list[str] = []
    links = 0
    while pending:
        part = pending.pop()
        if part == "..":
            done = done[:-1]
            continue
        link = below.get("/".join([*done, part]))
        if not pending or link is None or link.kind is not Kind.SYMLINK:
            done.append(part)
            continue
        links += 1
        if links > _MOST_LINKS:
            raise TreeInvalid(
                f"symlinks lead in a circle at {path} in the base image", "pack on another base"
            )
        if link.target.startswith("/"):
            done = []
        pending += _parts(link.target)
    return "/".join(done)


def follow(path: str, below: Index) -> Entry | None:
    """The entry that a path leads to in an image, every symlink followed; None where it leads nowhere."""
    for _ in range(_MOST_LINKS):
        real = resolve(path, below)
        entry = below.get(real) if real else _ROOT
        if entry is None or entry.kind is not Kind.SYMLINK:
            return entry
        parent = entry.path.rpartition("/")[0]
        path = entry.target if entry.target.startswith("/") else f"{parent}/{entry.target}"
    return None


def parents(path: str) -> Sequence[str]:
    """The folders above a path, outermost first."""
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


def _walk(folder: Path, below: str) -> Iterator[tuple[str, os.stat_result]]:
    """What is in a folder, in the order of names; each as a path from the top."""
    try:
        with os.scandir(folder / below) as listing:
            found = sorted((item.name, item.stat(follow_symlinks=False)) for item in listing)
    except OSError as error:
        raise _unreadable(folder / below, error) from error
    for name, status in found:
        path = f"{below}/{name}" if below else name
        yield path, status
        if stat.S_ISDIR(status.st_mode):
            yield from _walk(folder, path)


def _entry_of(
    folder: Path, name: str, status: os.stat_result, first_names: dict[tuple[int, int], str]
) -> Entry:
    mode = stat.S_IMODE(status.st_mode)
    if name.rpartition("/")[2].startswith(WHITEOUT_PREFIX):
        raise _no_image_carries(folder / name, "has a name by which images delete")
    if stat.S_ISDIR(status.st_mode):
        return Entry(name, Kind.FOLDER, mode)
    if stat.S_ISLNK(status.st_mode):
        return Entry(name, Kind.SYMLINK, 0o777, target=_link_target(folder / name))
    if not stat.S_ISREG(status.st_mode):
        raise _no_image_carries(folder / name, "is neither file, folder nor link")
    first = first_names.setdefault((status.st_dev, status.st_ino), name)
    if first != name:
        return Entry(name, Kind.HARDLINK, mode, target=first)
    return Entry(name, Kind.FILE, mode, status.st_size)


def _hashed(entry: Entry, folder: Path) -> Entry:
    if entry.kind is not Kind.FILE:
        return entry
    path = folder / entry.path
    try:
        with path.open("rb") as stream:
            return replace(entry, sha256=hashlib.file_digest(stream, "sha256").hexdigest())
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


def _entry_in_tar(path: str, member: tarfile.TarInfo, tar: tarfile.TarFile) -> Entry:
    parent, _, name = path.rpartition("/")
    if name == OPAQUE_MARKER:
        return Entry(parent, Kind.OPAQUE)
    if name.startswith(WHITEOUT_PREFIX):
        hidden = name.removeprefix(WHITEOUT_PREFIX)
        return Entry(f"{parent}/{hidden}" if parent else hidden, Kind.WHITEOUT)
    mode = stat.S_IMODE(member.mode)  # Docker writes the bits of the file's type too
    entry = Entry(path, _kind_of(member), mode, uid=member.uid, gid=member.gid)
    if entry.kind is Kind.SYMLINK:
        return replace(entry, mode=0o777, target=member.linkname)
    if entry.kind is Kind.HARDLINK:
        return replace(entry, target=_normal(member.linkname))
    content = tar.extractfile(member) if entry.kind is Kind.FILE else None
    return replace(entry, size=member.size, sha256=_sha256(content)) if content else entry


def _kind_of(member: tarfile.TarInfo) -> Kind:
    kinds = {tarfile.DIRTYPE: Kind.FOLDER, tarfile.SYMTYPE: Kind.SYMLINK, tarfile.LNKTYPE: Kind.HARDLINK}
    return Kind.FILE if member.isreg() else kinds.get(member.type, Kind.SPECIAL)


def _sha256(content: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while chunk := content.read(_CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def _imply_parents(seen: dict[str, Entry], path: str) -> None:
    """Folders that no layer names, but that hold something: engines make them when they unpack."""
    while parent := path.rpartition("/")[0]:
        if parent in seen:
            return
        seen[parent] = Entry(parent, Kind.FOLDER)
        path = parent


def _normal(name: str) -> str:
    """A tar's name as a path from the image's root: `./usr//bin/` is `usr/bin`."""
    return posixpath.normpath(f"/{name}").lstrip("/")


def _is_aufs_note(path: str) -> bool:
    name = path.rpartition("/")[2]
    return name.startswith(_AUFS_PREFIX) and name != OPAQUE_MARKER


def _parts(path: str) -> list[str]:
    """The parts of a path that lead somewhere, last first."""
    return [part for part in reversed(path.split("/")) if part not in ("", ".")]


def _made_up_folders(entries: Sequence[Entry]) -> Sequence[Entry]:
    known = {entry.path for entry in entries if entry.kind not in _MARKERS}
    made_up: dict[str, Entry] = {}
    for entry in entries:
        parent = entry.path if entry.kind is Kind.OPAQUE else entry.path.rpartition("/")[0]
        while parent and parent not in known:
            known.add(parent)
            made_up[parent] = Entry(parent, Kind.FOLDER)
            parent = parent.rpartition("/")[0]
    return tuple(made_up.values())


def _hidden(seen: Index, entries: Sequence[Entry]) -> list[str]:
    """The paths that a layer takes away from what is seen below it."""
    removed = {entry.path for entry in entries if entry.kind is Kind.WHITEOUT}
    emptied = removed | {entry.path for entry in entries if _empties(entry, seen.get(entry.path))}
    return [path for path in seen if path in removed or _lies_in(path, emptied)] if emptied else []


def _empties(entry: Entry, below: Entry | None) -> bool:
    replaces_folder = below is not None and below.kind is Kind.FOLDER and entry.kind is not Kind.FOLDER
    return entry.kind is Kind.OPAQUE or replaces_folder


def _lies_in(path: str, folders: Container[str]) -> bool:
    while path:
        path = path.rpartition("/")[0]
        if path in folders:
            return True
    return False
