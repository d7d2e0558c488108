"""Ingest: write the files of a folder, each whole or not at all, by one process at a time."""

import errno
import json
import os
import shlex
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from filelock import FileLock

from cephtasks import turns
from cephtasks.errors import StoreFailed

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_UNWRITABLE = _FULL | {errno.EFBIG, errno.EIO, errno.EROFS}


class Ingest:
    """The way for files into a folder, which it makes when it is first written to.

    `parts` are folders in it, `fixed` files that are always the same. What is not whole yet lies in `ingest`.
    """

    def __init__(self, folder: Path, parts: Sequence[Path], fixed: Mapping[str, bytes]) -> None:
        self._folder, self._parts, self._fixed = folder, parts, fixed
        self._unfinished = folder / "ingest"
        self._lock = FileLock(folder / "lock", thread_local=False)
        self._entering = threading.Lock()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the folder for writing; another process that does so is waited for.

        Reentrant, and shared by the threads of a process. Raises StoreFailed.
        """
        with self.translated():
            self._enter()
            try:
                yield
            finally:
                self._lock.release()

    @contextmanager
    def beside(self) -> Iterator[tuple[IO[bytes], Callable[[Path], None]]]:
        """Hold the folder for a file to write, and what puts it in its place; without that it is gone."""
        path = self._unfinished / uuid.uuid4().hex
        with self.writing(), path.open("xb") as sink:

            def put(place: Path) -> None:
                sink.close()
                path.replace(place)

            try:
                yield sink, put
            finally:
                path.unlink(missing_ok=True)

    def write_json(self, path: Path, document: object) -> None:
        """Write a document; raises StoreFailed."""
        with self.beside() as (sink, put):
            sink.write(json.dumps(document, separators=(",", ":")).encode())
            put(path)

    def read_json(self, path: Path) -> dict[str, Any]:
        """An object that was written; one that is not there or broken is an empty one."""
        with self.translated():
            try:
                return dict(json.loads(path.read_bytes()))
            except (FileNotFoundError, ValueError, TypeError):
                return {}

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Tell the folder's own errors, as StoreFailed, from those of a reader or writer it was given."""
        try:
            yield
        except OSError as error:
            if not self._is_ours(error):
                raise
            quoted = shlex.quote(str(self._folder))
            if error.errno in _FULL:
                raise StoreFailed(f"the disk that holds {self._folder} is full", f"df -h {quoted}") from error
            fact = f"{error.filename or self._folder} cannot be used: {error.strerror}"
            raise StoreFailed(fact, f"ls -ld {quoted}") from error

    def _is_ours(self, error: OSError) -> bool:
        """Writing to a file that is open names no file in its error."""
        if error.filename is None:
            return error.errno in _UNWRITABLE
        return Path(os.fsdecode(error.filename)).absolute().is_relative_to(self._folder.absolute())

    def _enter(self) -> None:
        """Take the lock; the first to have it also clears up, before anybody else goes on."""
        with self._entering:
            for folder in (*self._parts, self._unfinished):
                folder.mkdir(parents=True, exist_ok=True)
            turns.acquire(self._lock, f"writes to {self._folder}")
            if self._lock.lock_counter == 1:
                self._prepare()

    def _prepare(self) -> None:
        """Whoever holds the lock owns the unfinished files: those of a run that was killed go."""
        for leftover in self._unfinished.iterdir():
            leftover.unlink()
        for name, content in self._fixed.items():
            path = self._folder / name
            if not path.exists():
                path.write_bytes(content)
