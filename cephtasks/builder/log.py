"""Log: keep what a builder writes in a file of its own, and the last few of these."""

import os
import secrets
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from cephtasks.errors import StateUnwritable

_TAIL = 16384  # bytes
_KEPT = 20  # files


class Log:
    """A new log file below STATE_DIR, open for as long as the block lasts."""

    def __init__(self, state_dir: Path) -> None:
        """Name the file by the time; it is made when the block is entered."""
        moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        self.path = state_dir / "logs" / f"compile-{moment}-{secrets.token_hex(3)}.log"

    def __enter__(self) -> "Log":
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("xb", buffering=0)
            for old in sorted(self.path.parent.glob("compile-*.log"))[:-_KEPT]:
                old.unlink(missing_ok=True)
        except OSError as error:
            raise self._unwritable(error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, chunk: bytes) -> None:
        """Keep a chunk. Raises StateUnwritable."""
        try:
            self._file.write(chunk)
        except OSError as error:
            raise self._unwritable(error) from error

    def last_lines(self) -> list[bytes]:
        """The lines of the last few kilobytes."""
        with self.path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
            return file.read().splitlines()

    def _unwritable(self, error: OSError) -> StateUnwritable:
        return StateUnwritable(
            f"cannot write {self.path}: {error.strerror}", "STATE_DIR=FOLDER invoke compile"
        )
