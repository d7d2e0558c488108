"""Configured: remember in STATE_DIR with which flags a build folder was configured."""

import hashlib
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from cephtasks.errors import StateUnwritable
from cephtasks.settings import Settings

_HINT = "STATE_DIR=FOLDER invoke compile"


def why_configure(settings: Settings, *, cached: bool, last_flags: str | None) -> str | None:
    """Why the configure step is to run, or None where it need not.

    `cached` tells whether the build folder was ever configured, `last_flags` what it was by us.
    """
    if settings.reconfigure != "auto":
        return "as RECONFIGURE asks" if settings.reconfigure == "true" else None
    if not cached:
        return "as it never was"
    if last_flags is None:
        return "as it is not known with which flags it was"
    return "as CONFIGURE_FLAGS changed" if last_flags != settings.configure_flags else None


@dataclass(frozen=True)
class Record:
    """The file that remembers how one source folder was configured."""

    path: Path
    source: str

    def flags(self) -> str | None:
        """The flags of a build that ended well, and that no other was begun after; None where unknown."""
        try:
            flags = json.loads(self.path.read_bytes())["configure_flags"]
        except (OSError, ValueError, LookupError, TypeError):
            return None  # never written, or damaged: then it is configured again, which is always right
        return flags if isinstance(flags, str) else None

    def forget(self) -> None:
        """Know nothing, while the configure step may have run or not. Raises StateUnwritable."""
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            raise StateUnwritable(f"cannot remove {self.path}: {error.strerror}", _HINT) from error

    def keep(self, flags: str) -> None:
        """Remember these flags. Raises StateUnwritable."""
        beside = self.path.with_suffix(f".{secrets.token_hex(3)}")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            beside.write_text(json.dumps({"source": self.source, "configure_flags": flags}))
            beside.replace(self.path)
        except OSError as error:
            raise StateUnwritable(f"cannot write {self.path}: {error.strerror}", _HINT) from error


def record_of(folder: Path, state_dir: Path) -> Record:
    """The record of a source folder."""
    source = os.fsencode(folder.resolve())
    key = hashlib.sha256(source).hexdigest()[:16]
    return Record(state_dir / "configured" / f"{key}.json", os.fsdecode(source))
