"""Doctor: look for all that the daily line needs, and tell what to type for what is not there."""

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cephtasks import builder, console, nodes
from cephtasks.engine import Engine
from cephtasks.errors import CephtasksError, NotReady
from cephtasks.local_registry.folder import unwritable
from cephtasks.registry import Client
from cephtasks.settings import Settings
from cephtasks.source import describe
from cephtasks.source.clone import is_filled
from cephtasks.source.git import Git

_SHORT = 12  # digits of a commit that tell it from all others


@dataclass(frozen=True)
class Part:
    """Something that is needed: whether it is there, what was found, and what to type where it is not.

    `well` is None for what cannot be seen as long as something else is missing.
    """

    name: str
    well: bool | None
    found: str
    hint: str = ""

    def document(self) -> dict[str, Any]:
        """The part as `doctor --json` prints it."""
        return asdict(self)


@dataclass(frozen=True)
class Doctor:
    """Where to look: settings, and what reaches the engine, the registry and the nodes that they name."""

    settings: Settings
    engine: Callable[[], Engine]
    registry: Callable[[], Client]
    fleet: Callable[[], nodes.Fleet]

    def look(self) -> Iterator[Part]:
        """Every part, in the order in which the daily line needs them; nothing is changed."""
        yield _part("state", self._state)
        yield _part("source", self._source)
        engine = _part("engine", self._engine)
        yield engine
        for name, find in (("builder", self._builder), ("base", self._base)):
            yield _part(name, find) if engine.well else Part(name, None, "cannot be seen without the engine")
        yield _part("registry", self._registry)
        if self.settings.nodes:
            yield _part("nodes", self._nodes)

    def _state(self) -> str:
        folder = self.settings.state_dir
        there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
        if not there.is_dir():
            raise unwritable(folder, NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)))
        if not os.access(there, os.W_OK | os.X_OK):
            raise unwritable(folder, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))
        return f"{folder}, {console.size(shutil.disk_usage(there).free)} free"

    def _source(self) -> str:
        folder = self.settings.source_dir
        if not is_filled(folder):
            Git(Path("/")).read("--version")
            return f"{folder} is not there; compile clones it"
        tree = describe(folder)
        if tree.commit is None:
            return f"{folder}, without git"
        return f"{folder} at {tree.commit[:_SHORT]}{', with changes' if tree.dirty else ''}"

    def _engine(self) -> str:
        capacity = self.engine().capacity()
        return f"{console.count(capacity.cores, 'core')}, {console.size(capacity.memory)} of memory"

    def _builder(self) -> str:
        found = builder.preflight(self.settings, self.engine(), ())
        jobs = console.count(found.jobs.all, "job")
        through = f", through {found.launcher}" if found.launcher else ""
        return f"{self.settings.builder_image}, {jobs} at once{through}"

    def _base(self) -> str:
        base = self.settings.base_image
        found = self.engine().require_image(base, "invoke fetch-base")
        return f"{base}, {console.size(found.size)}"

    def _registry(self) -> str:
        client = self.registry()
        client.send("GET", "/v2/", "its API")
        return client.base

    def _nodes(self) -> str:
        outcomes = self.fleet().visit(lambda node, engine, stop: engine.version)
        nodes.require_all(outcomes, "invoke nodes.status")
        versions = sorted({outcome.result or "" for outcome in outcomes})
        return f"{console.count(len(outcomes), 'engine')}, version {', '.join(versions)}"


def require_ready(parts: list[Part]) -> None:
    """Raise NotReady where a part is not well; the hint is that of the first."""
    missing = [part for part in parts if part.well is False]
    if missing:
        raise NotReady(f"not ready: {', '.join(part.name for part in missing)}", missing[0].hint)


def _part(name: str, find: Callable[[], str]) -> Part:
    try:
        return Part(name, True, find())
    except CephtasksError as error:
        return Part(name, False, error.fact, error.hint)
