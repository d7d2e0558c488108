"""Trees: what files there are, in a layer and in a stack of layers."""

import hashlib
import posixpath
import stat
import tarfile
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import IO, Any

from cephtasks.errors import TreeInvalid

WHITEOUT_PREFIX = ".wh."
OPAQUE_MARKER = ".wh..wh..opq"
LAYER_INDEX = ".cephtasks-layer.json"  # what a layer of ours begins with; no file of the image
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


def index_tar(stream: IO[bytes]) -> Iterator[Entry]:
    """The entries of a layer's tar, in its order, whiteouts among them; raises tarfile.TarError."""
    with tarfile.open(fileobj=stream, mode="r|", encoding="utf-8", errors="surrogateescape") as tar:
        for member in tar:
            path = _normal(member.name)
            if path and path != LAYER_INDEX and not _is_aufs_note(path):
                yield _entry_in_tar(path, member, tar)


def flatten(layers: Iterable[Iterable[Entry]]) -> dict[str, Entry]:
    """What a container sees of a stack of layers, bottom first."""
    seen: dict[str, Entry] = {}
    for layer in layers:
        overlay(seen, layer)
    return seen


def overlay(seen: dict[str, Entry], layer: Iterable[Entry]) -> set[str]:
    """Put a layer over what is seen of the layers below it; returns the paths that it touched.

    A layer's whiteouts hide what lies in the layers below it, never what it brings itself
    (image-spec, layer.md, Whiteouts). Folders that a layer needs and does not name are made up by
    the engine that unpacks it, whatever lies below. A hard link is seen as a file of its own: it
    keeps its content when a layer above replaces what it links to.
    """
    named = tuple(layer)
    entries = (*_made_up_folders(named), *named)
    touched = _hidden(seen, entries)
    for path in touched:
        del seen[path]
    for entry in entries:
        if entry.kind not in _MARKERS:
            first = seen.get(entry.target) if entry.kind is Kind.HARDLINK else None
            seen[entry.path] = replace(first, path=entry.path) if first else entry
            touched.add(entry.path)
    return touched


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


def walk_order(path: str) -> str:
    """A key by which a folder comes just before what it holds, and names in one folder by their letters."""
    return path.replace("/", "\0")


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
    needed: dict[str, None] = {}
    for entry in entries:
        parent = entry.path if entry.kind is Kind.OPAQUE else entry.path.rpartition("/")[0]
        while parent and parent not in needed:
            needed[parent] = None
            parent = parent.rpartition("/")[0]
    for entry in entries:
        if entry.kind not in _MARKERS:
            needed.pop(entry.path, None)
    return tuple(Entry(path, Kind.FOLDER) for path in needed)


def _hidden(seen: Index, entries: Sequence[Entry]) -> set[str]:
    """The paths that a layer takes away from what is seen below it."""
    removed = {entry.path for entry in entries if entry.kind is Kind.WHITEOUT and entry.path in seen}
    emptied = {entry.path for entry in entries if _empties(entry, seen.get(entry.path))}
    return removed | {path for path in seen if _lies_in(path, emptied)} if emptied else removed


def _empties(entry: Entry, below: Entry | None) -> bool:
    replaces_folder = below is not None and below.kind is Kind.FOLDER and entry.kind is not Kind.FOLDER
    return entry.kind is Kind.OPAQUE or replaces_folder


def _lies_in(path: str, folders: Container[str]) -> bool:
    while path:
        path = path.rpartition("/")[0]
        if path in folders:
            return True
    return False
