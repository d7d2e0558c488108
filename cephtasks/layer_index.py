"""Layer indexes: say at the beginning of a layer what is in it.

The first member of a layer's tar is a JSON document, so that a stack can be continued from any image in
a registry without fetching its layers. It lies in the root folder, where no folder above it would have
to be named; in an image the file of the topmost layer shows, and nothing reads it there.
"""

import hashlib
import json
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO

from cephtasks import layer
from cephtasks.errors import BlobDamaged
from cephtasks.tree import LAYER_INDEX, Entry, Kind, from_row, to_row

_VERSION = 1
_FIRST_READ = 16 << 10  # holds the whole index of a usual edit; each further read is twice as long
_ROWS = 128  # encoded at a time
_MOST_BYTES = 64 << 20  # of an index: a third of a million files

ReadRange = Callable[[int, int], bytes]  # offset and length, to the bytes there; fewer at the end


@dataclass(frozen=True)
class LayerIndex:
    """What a layer says of itself: what it was cut for, and its entries in the order of its tar."""

    component: str
    entries: tuple[Entry, ...]


def document(index: LayerIndex) -> Iterator[bytes]:
    """The JSON document that a layer begins with, in pieces; the same for the same."""
    yield b'{"component":%s,"entries":[' % _encoded(index.component)
    for number, rows in enumerate(_rows(index)):
        yield b"," if number else b""
        yield rows[1:-1]
    yield b'],"version":%d}' % _VERSION


def first_entry(index: LayerIndex) -> Entry:
    """The entry that a layer begins with: the file that holds the document."""
    digest, size = hashlib.sha256(), 0
    for piece in document(index):
        digest.update(piece)
        size += len(piece)
    return Entry(LAYER_INDEX, Kind.FILE, 0o644, size, digest.hexdigest())


def lines(index: LayerIndex) -> Iterator[bytes]:
    """An index as lines of JSON, to be kept: what `of_lines` reads without ever holding all of the text."""
    yield b"%s\n" % _encoded({"component": index.component, "entries": len(index.entries)})
    for rows in _rows(index):
        yield b"%s\n" % rows


def of_lines(kept: IO[bytes]) -> LayerIndex:
    """The index of such lines; raises ValueError, KeyError or TypeError for any other, or where some lack."""
    head = json.loads(kept.readline())
    entries = tuple(from_row(row) for line in kept for row in json.loads(line))
    if len(entries) != head["entries"]:
        raise ValueError(f"{len(entries)} entries, not {head['entries']}")
    return LayerIndex(head["component"], entries)


def read(read_range: ReadRange) -> LayerIndex | None:
    """The index that a layer's blob begins with; None where it is not a layer of ours.

    Of the blob no more is read than the index needs, rounded up.
    """
    tar = _Beginning(layer.unpacked(_pieces(read_range)))
    try:
        member = tarfile.TarInfo.frombuf(tar.read(tarfile.BLOCKSIZE), "utf-8", "surrogateescape")
        if member.name != LAYER_INDEX or not member.isreg() or member.size > _MOST_BYTES:
            return None
        document = json.loads(tar.read(member.size))
        if document["version"] != _VERSION:
            return None
        return LayerIndex(str(document["component"]), tuple(map(from_row, document["entries"])))
    except (BlobDamaged, tarfile.HeaderError, ValueError, KeyError, TypeError):
        return None


def _rows(index: LayerIndex) -> Iterator[bytes]:
    """The entries as JSON lists of some rows each."""
    for start in range(0, len(index.entries), _ROWS):
        yield _encoded([to_row(entry) for entry in index.entries[start : start + _ROWS]])


def _encoded(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


class _Beginning:
    """Bytes that come in pieces, read in order."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._waiting = bytearray()

    def read(self, size: int) -> bytes:
        """The next bytes; fewer where there are no more."""
        while len(self._waiting) < size and (piece := next(self._pieces, None)) is not None:
            self._waiting += piece
        taken = bytes(self._waiting[:size])
        del self._waiting[:size]
        return taken


def _pieces(read_range: ReadRange) -> Iterator[bytes]:
    offset, length = 0, _FIRST_READ
    while piece := read_range(offset, length):
        yield piece
        offset += len(piece)
        length *= 2
