"""Traffic: what a registry was asked for, and how many bytes it gave, by its own log."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from lab.registries import Registry

_CHANGING = frozenset({"POST", "PATCH", "PUT"})
_SETTLING = 0.1  # seconds within which a registry logs what it has answered


@dataclass
class Watched:
    """The requests to a registry while a block lasted, there once the block has ended."""

    requests: list[dict[str, Any]] = field(default_factory=list)

    @property
    def fetched_by_engines(self) -> int:
        """Bytes of blobs that Docker engines fetched."""
        return sum(
            asked["http.response.written"]
            for asked in self._of_blobs()
            if asked["http.request.method"] == "GET" and asked["http.request.useragent"].startswith("docker/")
        )

    @property
    def sending_blobs(self) -> int:
        """How many requests sent a blob, or a part of one."""
        return sum(asked["http.request.method"] in _CHANGING for asked in self._of_blobs())

    def _of_blobs(self) -> Iterator[dict[str, Any]]:
        return (asked for asked in self.requests if "/blobs/" in asked["http.request.uri"])


@contextmanager
def watching(registry: Registry) -> Iterator[Watched]:
    """Watch a registry for as long as the block lasts."""
    watched, log = Watched(), registry.folder / "log"
    time.sleep(_SETTLING)
    start = log.stat().st_size
    yield watched
    time.sleep(_SETTLING)
    with log.open("rb") as file:
        file.seek(start)
        lines = file.read().splitlines()
    watched.requests += [json.loads(line) for line in lines if b'"msg":"response completed' in line]
