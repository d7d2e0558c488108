"""Folder: what a registry of this machine keeps on disk: data, certificates, log, and what runs."""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from cephtasks.errors import LocalRegistryFailed, StateUnwritable
from cephtasks.local_registry.process import Process
from cephtasks.local_registry.terms import Terms

_PATIENCE = 30.0  # seconds to wait for another who starts or stops the same registry
_TAIL_BYTES = 4096
# What an interrupted push leaves half sent goes after a day, not after the usual week.
_PURGING = {"enabled": True, "age": "24h", "interval": "1h", "dryrun": False}


@dataclass(frozen=True)
class Running:
    """A registry that was started: its terms, and its process or its container's name until it ends.

    `names` are those that its certificate has, `since` is when it was started, in seconds of Unix.
    """

    terms: Terms
    names: tuple[str, ...]
    since: float
    process: Process | None = None
    container: str = ""

    @property
    def is_ended(self) -> bool:
        """Whether we ended it."""
        return not self.process and not self.container

    @property
    def ends_by(self) -> str:
        """The command line that ends it."""
        return f"kill {self.process.pid}" if self.process else f"docker rm --force {self.container}"


@dataclass(frozen=True)
class RegistryFolder:
    """The folder of one registry."""

    path: Path

    @classmethod
    def of(cls, state_dir: Path) -> "RegistryFolder":
        """That of the registry of a STATE_DIR."""
        return cls(state_dir.resolve() / "registry")

    @property
    def own_data(self) -> Path:
        """The repositories that were pushed."""
        return self.path / "data"

    def data(self, terms: Terms) -> Path:
        """The repositories; those of a mirror lie apart for each upstream, and what is old goes by itself."""
        mirrored = re.sub(r"[^A-Za-z0-9.-]+", "-", terms.mirror_of)
        return self.path / f"mirror-{mirrored}" if mirrored else self.own_data

    @property
    def ca(self) -> Path:
        """The certificate of the CA, for whoever is to trust the registry."""
        return self.path / "tls" / "ca.crt"

    @property
    def certificate(self) -> Path:
        """The registry's own certificate, with its key."""
        return self.path / "tls" / "server.pem"

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
        from filelock import FileLock, Timeout  # noqa: PLC0415 — it takes long to load, and readers need none

        lock = FileLock(self.path / "lock", timeout=_PATIENCE)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except Timeout as error:
            fact = "another cephtasks is starting or stopping the registry"
            raise LocalRegistryFailed(fact, "type the same again") from error
        except OSError as error:
            raise unwritable(self.path, error) from error
        try:
            yield
        finally:
            lock.release()

    def configure(self, terms: Terms, remote: str) -> None:
        """Write the config of a registry; `remote` is the URL of what it mirrors. Raises StateUnwritable.

        JSON is YAML too, and no path in it needs care.
        Format: https://distribution.github.io/distribution/about/configuration/
        """
        certificate = str(self.certificate)
        document: dict[str, object] = {
            "version": "0.1",
            "log": {"level": "info", "formatter": "json", "accesslog": {"disabled": True}},
            "storage": {
                "filesystem": {"rootdirectory": str(self.data(terms))},
                "delete": {"enabled": True},
                "maintenance": {"uploadpurging": _PURGING},
            },
            "http": {"addr": terms.listens}
            | ({"tls": {"certificate": certificate, "key": certificate}} if terms.tls else {}),
        }
        if terms.htpasswd:
            document["auth"] = {"htpasswd": {"realm": "cephtasks", "path": terms.htpasswd}}
        if remote:
            document["proxy"] = {"remoteurl": remote}
        _write(self.config, document)

    def remember(self, running: Running) -> None:
        """Note what was started; raises StateUnwritable."""
        _write(self._record, asdict(running))

    def recall(self) -> Running | None:
        """What was started; None where nothing was, or where the note is damaged, which says as little."""
        try:
            document = json.loads(self._record.read_bytes())
            made = document["process"]
            return Running(
                Terms(**document["terms"]),
                tuple(document["names"]),
                float(document["since"]),
                Process(**made) if made else None,
                document["container"],
            )
        except (OSError, ValueError, LookupError, TypeError):
            return None

    def ca_for(self, host: str) -> Path | None:
        """The CA of the registry that was started here, where that is the one at `host[:port]`."""
        running = self.recall()
        if running and running.terms.tls and running.terms.is_meant(host, running.names):
            return self.ca
        return None

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
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError) -> StateUnwritable:
    """The operating system's error as ours."""
    return StateUnwritable(f"{path} cannot be written: {error.strerror}", "STATE_DIR=FOLDER in .env")
