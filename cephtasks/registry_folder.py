"""Registry folder: what a registry of this machine keeps on disk: data, config, log, and what runs."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from cephtasks.errors import LocalRegistryFailed, StateUnwritable
from cephtasks.process import Process

_PATIENCE = 30.0  # seconds to wait for another who starts or stops the same registry
_TAIL_BYTES = 4096
# What an interrupted push leaves half sent goes after a day, not after the usual week.
_PURGING = {"enabled": True, "age": "24h", "interval": "1h", "dryrun": False}


@dataclass(frozen=True)
class Running:
    """A registry that was started: where it listens, and either its process or its container's name."""

    host: str
    process: Process | None = None
    container: str = ""

    @property
    def ends_by(self) -> str:
        """The command line that ends it."""
        return f"kill {self.process.pid}" if self.process else f"docker rm --force {self.container}"


@dataclass(frozen=True)
class RegistryFolder:
    """The folder of one registry."""

    path: Path

    @property
    def data(self) -> Path:
        """The repositories."""
        return self.path / "data"

    @property
    def config(self) -> Path:
        """What the registry is told."""
        return self.path / "config.yml"

    @property
    def log(self) -> Path:
        """What the registry tells."""
        return self.path / "log"

    @property
    def _record(self) -> Path:
        return self.path / "pid.json"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep others from starting or stopping the same registry; raises StateUnwritable."""
        lock = FileLock(self.path / "lock", timeout=_PATIENCE)
        try:
            self.data.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except Timeout as error:
            fact = "another cephtasks is starting or stopping the registry"
            raise LocalRegistryFailed(fact, "type the same again") from error
        except OSError as error:
            raise _unwritable(self.path, error) from error
        try:
            yield
        finally:
            lock.release()

    def configure(self, address: str) -> None:
        """Write the config of a registry that listens at an address, as host:port; raises StateUnwritable.

        JSON is YAML too, and no path in it needs care.
        Format: https://distribution.github.io/distribution/about/configuration/
        """
        document = {
            "version": "0.1",
            "log": {"level": "info", "formatter": "json", "accesslog": {"disabled": True}},
            "storage": {
                "filesystem": {"rootdirectory": str(self.data)},
                "delete": {"enabled": True},
                "maintenance": {"uploadpurging": _PURGING},
            },
            "http": {"addr": address},
        }
        _write(self.config, document)

    def remember(self, running: Running) -> None:
        """Note what was started; raises StateUnwritable."""
        _write(self._record, asdict(running))

    def recall(self) -> Running | None:
        """What was started; None where nothing was, or where the note is damaged, which says as little."""
        try:
            document = json.loads(self._record.read_bytes())
            made = document["process"]
            return Running(document["host"], Process(**made) if made else None, document["container"])
        except (OSError, ValueError, LookupError, TypeError):
            return None

    def forget(self) -> None:
        """Drop the note of what was started."""
        self._record.unlink(missing_ok=True)

    def last_words(self) -> str:
        """The last line of the log."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            lines = file.read().decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _write(path: Path, document: object) -> None:
    beside = path.with_name(f"{path.name}.new")
    try:
        beside.write_text(json.dumps(document, indent=2) + "\n")
        beside.replace(path)
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> StateUnwritable:
    return StateUnwritable(f"{path} cannot be written: {error.strerror}", "STATE_DIR=FOLDER in .env")
