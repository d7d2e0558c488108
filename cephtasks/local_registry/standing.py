"""Standing: tell how the registry of this machine stands, and what it holds."""

import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cephtasks.local_registry import certificates, garbage, server
from cephtasks.local_registry.folder import RegistryFolder
from cephtasks.local_registry.server import Connect
from cephtasks.local_registry.terms import Terms


@dataclass(frozen=True)
class Standing:
    """How a registry stands: whether it is up, what keeps it from answering, and what it holds.

    `since` is when it was started, `tls_until` when its certificate ends; `size` is in bytes.
    """

    terms: Terms
    is_up: bool
    silent: str
    since: datetime.datetime
    tls_until: datetime.datetime | None
    repositories: int
    size: int
    data: Path
    log: Path

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "up": self.is_up,
            "trouble": self.silent,
            "host": self.terms.host,
            "listens": self.terms.listens,
            "since": self.since.isoformat(timespec="seconds") if self.is_up else None,
            "tls_until": self.tls_until.isoformat(timespec="seconds") if self.tls_until else None,
            "htpasswd": self.terms.htpasswd or None,
            "mirror_of": self.terms.mirror_of or None,
            "repositories": self.repositories,
            "bytes": self.size,
            "data": str(self.data),
            "log": str(self.log),
            "command": self.terms.command,
        }


def look(folder: RegistryFolder, connect: Connect) -> Standing | None:
    """How the registry of a folder stands; None where none was ever started."""
    running = folder.recall()
    if running is None:
        return None
    terms = running.terms
    is_up = server.is_running(running, connect)
    trouble = server.silence(terms, folder) if is_up else None
    held = garbage.contents(folder.data(terms))
    return Standing(
        terms,
        is_up,
        trouble.fact if trouble else "",
        datetime.datetime.fromtimestamp(running.since).astimezone(),
        certificates.end(folder.certificate) if terms.tls else None,
        held.repositories,
        held.bytes,
        folder.data(terms),
        folder.log,
    )
