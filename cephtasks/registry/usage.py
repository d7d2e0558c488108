"""Usage: tell how many bytes the repositories of a registry take, and share."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from cephtasks.registry.contents import Contents


@dataclass
class Share:
    """A repository: how many tags it has, the bytes of its blobs, and those that others have too."""

    repository: str
    tags: int
    bytes: int
    shared_bytes: int = 0


@dataclass(frozen=True)
class Usage:
    """All repositories that were looked at, and their bytes, a blob that several have counted once."""

    shares: tuple[Share, ...]
    bytes: int

    def document(self) -> dict[str, Any]:
        """The usage as `registry.du --json` prints it."""
        return {"repositories": [vars(share) for share in self.shares], "bytes": self.bytes}


def usage(held: Iterable[Contents]) -> Usage:
    """The bytes of repositories, which are looked at one after the other."""
    shares: list[Share] = []
    first: dict[str, Share] = {}  # which repository had a blob first
    several: set[str] = set()
    total = 0
    for contents in held:
        share = Share(contents.repository, len(contents.tags), contents.bytes)
        shares.append(share)
        for digest, size in contents.blobs.items():
            if first.setdefault(digest, share) is share:
                total += size
                continue
            share.shared_bytes += size
            if digest not in several:
                several.add(digest)
                first[digest].shared_bytes += size
    return Usage(tuple(shares), total)
