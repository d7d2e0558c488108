"""Pieces: read bytes that come in pieces as a file."""

import io
from collections.abc import Iterator
from typing import IO, Any

_CHUNK = 1 << 16


def stream(pieces: Iterator[bytes]) -> IO[bytes]:
    """A file to read once, with no more pieces asked for than what is read needs."""
    return io.BufferedReader(_Pieces(pieces), _CHUNK)


class _Pieces(io.RawIOBase):
    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._left = memoryview(piece)
        count = min(len(buffer), len(self._left))
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        return count
