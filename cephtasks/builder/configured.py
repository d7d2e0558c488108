"""Configured: remember in STATE_DIR how a build folder was configured, and tell whether that still holds."""

import hashlib
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from cephtasks.errors import StateUnwritable
from cephtasks.turns import turn

_HINT = "STATE_DIR=FOLDER invoke compile"


@dataclass(frozen=True)
class Configuration:
    """What the configure step depends on beside the source; the build tool looks after the source's files."""

    flags: str
    image: str
    launcher: str
    link_jobs: int
    variables: Mapping[str, str]

    def change_since(self, last: "Configuration") -> str | None:
        """What is other than the last time, or None."""
        changes = {
            "CONFIGURE_FLAGS": self.flags != last.flags,
            "the builder image": self.image != last.image,
            "the compiler launcher": self.launcher != last.launcher,
            "the number of link jobs": self.link_jobs != last.link_jobs,
            "a variable of the compilers": self.variables != last.variables,
        }
        return next((name for name, changed in changes.items() if changed), None)


@dataclass(frozen=True)
class Decision:
    """Whether the configure step is to run, and why or why not."""

    configure: bool
    why: str


def decide(
    reconfigure: str, wanted: Configuration, last: Configuration | None, *, configured: bool
) -> Decision:
    """What RECONFIGURE, the first argument, means for a build folder that was `configured` before or not.

    `last` is how we configured it, where that is known.
    """
    if reconfigure != "auto":
        return Decision(reconfigure == "true", "as RECONFIGURE asks")
    if not configured:
        return Decision(True, "as it never was")
    if last is None:
        return Decision(True, "as it is not known how it was")
    change = wanted.change_since(last)
    return Decision(change is not None, f"as {change} changed" if change else "as nothing of it changed")


@dataclass(frozen=True)
class Record:
    """The file that remembers how one source folder was configured."""

    path: Path
    source: str

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Have nobody else compile the same source meanwhile. Raises StateUnwritable."""
        lock = self.path.with_suffix(".lock")
        with ExitStack() as held:
            try:
                lock.parent.mkdir(parents=True, exist_ok=True)
                held.enter_context(turn(lock, f"compiles {self.source}"))
            except OSError as error:
                raise StateUnwritable(f"cannot write {lock}: {error.strerror}", _HINT) from error
            yield

    def read(self) -> Configuration | None:
        """That of a build that ended well, and that no other was begun after; None where unknown."""
        try:
            return Configuration(**json.loads(self.path.read_bytes())["configuration"])
        except (OSError, ValueError, LookupError, TypeError):
            return None  # never written, or damaged: then it is configured again, which is always right

    def forget(self) -> None:
        """Know nothing, while the configure step may have run or not. Raises StateUnwritable."""
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            raise StateUnwritable(f"cannot remove {self.path}: {error.strerror}", _HINT) from error

    def keep(self, configuration: Configuration) -> None:
        """Remember a configuration. Raises StateUnwritable."""
        beside = self.path.with_suffix(f".{secrets.token_hex(3)}")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            beside.write_text(json.dumps({"source": self.source, "configuration": asdict(configuration)}))
            beside.replace(self.path)
        except OSError as error:
            raise StateUnwritable(f"cannot write {self.path}: {error.strerror}", _HINT) from error


def record_of(folder: Path, state_dir: Path) -> Record:
    """The record of a source folder."""
    source = os.fsencode(folder.resolve())
    key = hashlib.sha256(source).hexdigest()[:16]
    return Record(state_dir / "configured" / f"{key}.json", os.fsdecode(source))
