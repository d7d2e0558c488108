"""Index cache: index an install tree, reading only files that changed since the last time.

A cache has a line for each file, in the order in which a folder is walked. So one is read, and its successor
written, line by line beside the walk, and neither is ever held in memory.
"""

import io
import json
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from cephtasks.errors import StateUnwritable
from cephtasks.folder import Stamp, scan_folder
from cephtasks.tree import Entry, walk_order

UNREAD = "unread"  # in place of the hash of a file that was not wanted
_HEADER = b'{"version":2}\n'
_CHUNK = 1 << 16
# A file that is written twice within one tick of its file system's clock keeps its stamp. Ticks last
# up to two seconds (FAT), so a younger stamp proves nothing, and is not remembered.
_LONGEST_TICK_NS = 2_000_000_000

_encode = json.JSONEncoder(separators=(",", ":")).encode


def index_folder(
    folder: Path, cache: Path, wanted: Callable[[str], bool] = lambda _path: True
) -> dict[str, Entry]:
    """Index a folder as an install tree; the file `cache` remembers the hashes of its files.

    Files of a path that is not `wanted` are not read, and have UNREAD for a hash.
    A cache that is missing, damaged or of another folder costs time, never correctness. Raises
    TreeInvalid as `folder.index_folder` does, StateUnwritable where the cache cannot be written.
    """
    latest = time.time_ns() - _LONGEST_TICK_NS
    index: dict[str, Entry] = {}
    with _reading(cache) as kept, _reading(cache) as before, _Renewal(cache, before) as renewal:
        remembered = _Remembered(kept)

        def known(path: str, stamp: Stamp) -> str:
            return remembered.sha256(path, stamp) if wanted(path) else UNREAD

        for entry, stamp in scan_folder(folder, known):
            index[entry.path] = entry
            # Every write sets ctime, and nothing but a write does; mtime can be set to anything.
            if stamp and stamp[2] < latest and entry.sha256 != UNREAD:
                renewal.add(f"{_encode([entry.path, entry.sha256, *stamp])}\n".encode())
        renewal.finish()
    return index


class _Remembered:
    """The hashes that a cache holds, asked for in the order of a walk."""

    def __init__(self, cache: IO[bytes]) -> None:
        self._rows = _rows(cache)
        self._next = next(self._rows, None)

    def sha256(self, path: str, stamp: Stamp) -> str:
        """The hash of the file of that path and stamp; empty if it is not known."""
        place = walk_order(path)
        while self._next and self._next[0] < place:
            self._next = next(self._rows, None)
        if self._next and self._next[0] == place and self._next[1][1:] == [*stamp]:
            return str(self._next[1][0])
        return ""


def _rows(cache: IO[bytes]) -> Iterator[tuple[str, Sequence[Any]]]:
    """The place of each row in a walk, and the row without its path; one that says nothing is passed over."""
    for line in cache:
        try:
            row = json.loads(line.decode())
        except ValueError:
            continue
        if isinstance(row, list) and row and isinstance(row[0], str):
            yield walk_order(row[0]), row[1:]


class _Renewal:
    """The lines of a cache as they are to be: those before, or from the first that is another on a new file.

    The new file has no name before it is whole, so a run that is killed leaves nothing.
    """

    def __init__(self, cache: Path, before: IO[bytes]) -> None:
        self._cache, self._before = cache, before
        self._same = 0  # bytes
        self._new: IO[bytes] | None = None

    def __enter__(self) -> "_Renewal":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._new:
            self._new.close()

    def add(self, line: bytes) -> None:
        """The next line. Raises StateUnwritable."""
        if not self._new and self._before.read(len(line)) == line:
            self._same += len(line)
            return
        with self._translated():
            self._begun().write(line)

    def finish(self) -> None:
        """Put the lines in the place of those before, where any is another. Raises StateUnwritable."""
        if not self._new and not self._before.read(1):
            return
        with self._translated():
            new = self._begun()
            new.seek(0)
            path = self._cache.with_name(f"{self._cache.name}.{uuid.uuid4().hex}")
            try:
                with path.open("xb") as beside:
                    shutil.copyfileobj(new, beside)
                path.replace(self._cache)
            finally:
                path.unlink(missing_ok=True)

    def _begun(self) -> IO[bytes]:
        if not self._new:
            folder = self._cache.parent
            folder.mkdir(parents=True, exist_ok=True)
            self._new = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 — closed with the renewal
            self._new.write(_HEADER)
            self._before.seek(len(_HEADER))
            left = self._same
            while left and (chunk := self._before.read(min(left, _CHUNK))):
                left -= len(chunk)
                self._new.write(chunk)
        return self._new

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            fact = f"{self._cache} cannot be written: {error.strerror}"
            raise StateUnwritable(fact, f"ls -ld {self._cache.parent}") from error


@contextmanager
def _reading(cache: Path) -> Iterator[IO[bytes]]:
    """The lines of a cache; those of none where there is no such file, or one of another kind."""
    with ExitStack() as until_read:
        try:
            stream: IO[bytes] = until_read.enter_context(cache.open("rb"))
            is_cache = stream.read(len(_HEADER)) == _HEADER
        except OSError:
            is_cache = False
        yield stream if is_cache else io.BytesIO()
