"""Edits: change files as a compiler does, content and all, without changing how well they compress."""

import itertools
from pathlib import Path

from isal import isal_zlib

_STEP = 1 << 20  # bytes between two places that change
_GZIP_WINDOW = 31  # zlib's window bits: the largest window, with gzip's header and trailer
_serials = itertools.count(1)


def edit(path: Path) -> None:
    """Write a number that was never there before into every megabyte of a file."""
    serial = next(_serials).to_bytes(8, "big")
    with path.open("r+b") as file:
        size = path.stat().st_size
        for place in range(min(_STEP, size) // 2, size, _STEP):
            file.seek(place)
            file.write(serial)


def compressed_size(path: Path) -> int:
    """Bytes of a file by itself, compressed as layers are."""
    compressor, size = isal_zlib.compressobj(level=1, wbits=_GZIP_WINDOW), 0
    with path.open("rb") as file:
        while chunk := file.read(_STEP):
            size += len(compressor.compress(chunk))
    return size + len(compressor.flush())
