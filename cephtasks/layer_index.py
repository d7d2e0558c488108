"""Layer indexes: say at the beginning of a layer what is in it.

The first member of a layer's tar is a JSON document, so that a stack can be continued from any image in
a registry without fetching its layers. It lies in the root folder, where no folder above it would have
to be named; in an image the file of the topmost layer shows, and nothing reads it there.
"""

import hashlib
import json
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from cephtasks import layer
from cephtasks.errors import BlobDamaged
from cephtasks.tree import LAYER_INDEX, Entry, Kind, from_row, to_row

_VERSION = 1
_FIRST_READ = 16 << 10  # holds the whole index of a usual edit; each further read is twice as long
_MOST_BYTES = 64 << 20  # of an index: a third of a million files

ReadRange = Callable[[int, int], bytes]  # offset and length, to the bytes there; fewer at the end


@dataclass(frozen=True)
class LayerIndex:
    """What a layer says of itself: what it was cut for, and its entries in the order of its tar."""

    component: str
    entries: tuple[Entry, ...]


def begin(component: str, entries: Sequence[Entry]) -> tuple[Entry, bytes]:
    """The entry that a layer begins with, before `entries`, and its content; the same for the same."""
    document = {"version": _VERSION, "component": component, "entries": [to_row(entry) for entry in entries]}
    content = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    return Entry(LAYER_INDEX, Kind.FILE, 0o644, len(content), hashlib.sha256(content).hexdigest()), content


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
