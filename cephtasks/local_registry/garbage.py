"""Garbage: what lies on the disk of a registry that no manifest names, and how it goes.

A manifest names whatever digests stand in it, wherever that is: so nothing goes of an index, an image or an
artifact that stays, of whatever kind it is. The registry's own collector takes the manifests that an index
names for untagged ones (https://github.com/distribution/distribution/issues/3178).

Layout: https://github.com/distribution/distribution/blob/v2.8.2/registry/storage/paths.go
"""

import os
import re
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path("docker", "registry", "v2")
_DIGEST = re.compile(rb"\b[a-z0-9]+:[0-9a-f]{64,128}\b")

Digest = str


@dataclass(frozen=True)
class Garbage:
    """What is not needed: manifests in repositories, as the folders that name them, and folders of blobs."""

    manifests: tuple[Path, ...]
    blobs: tuple[Path, ...]
    bytes: int


@dataclass(frozen=True)
class Contents:
    """What a registry holds: how many repositories, and the bytes of their blobs."""

    repositories: int
    bytes: int


def contents(data: Path) -> Contents:
    """Count what is there."""
    repositories = sum(1 for repository in _repositories(data) if any(_revisions(repository)))
    return Contents(repositories, sum(map(_size, _blobs(data))))


def find(data: Path, untagged: bool) -> Garbage:
    """Look for what no manifest names; with `untagged` manifests count only if a tag leads to them.

    It is for a registry that nobody writes to: a blob is sent before the manifest that names it.
    """
    gone: list[Path] = []
    needed: set[Digest] = set()
    for repository in _repositories(data):
        revisions = {_digest(folder): folder for folder in _revisions(repository)}
        roots = _tagged(repository) if untagged else revisions
        named = _named(data, roots, revisions)
        needed |= named
        gone += [folder for digest, folder in revisions.items() if digest not in named]
    blobs = [blob for blob in _blobs(data) if _digest(blob) not in needed]
    return Garbage(tuple(gone), tuple(blobs), sum(map(_size, blobs)))


def sweep(garbage: Garbage) -> None:
    """Remove it; interrupted, it leaves what can be found again. Raises OSError."""
    for folder in (*garbage.manifests, *garbage.blobs):
        shutil.rmtree(folder)


def _named(data: Path, roots: Iterable[Digest], revisions: Iterable[Digest]) -> set[Digest]:
    """All digests that can be reached from some manifests of a repository, they themselves among them."""
    known, found, ahead = set(revisions), set(roots), list(roots)
    while ahead:
        for digest in _mentioned(_blob(data, ahead.pop())) - found:
            found.add(digest)
            if digest in known:
                ahead.append(digest)
    return found


def _mentioned(manifest: Path) -> set[Digest]:
    """The digests that stand in a manifest; none where it is lost, as nobody can pull it."""
    try:
        return {digest.decode() for digest in _DIGEST.findall((manifest / "data").read_bytes())}
    except FileNotFoundError:
        return set()


def _repositories(data: Path) -> Iterator[Path]:
    for folder, below, _ in os.walk(data / _ROOT / "repositories"):
        if "_manifests" in below:
            yield Path(folder, "_manifests")
        below[:] = [name for name in below if not name.startswith("_")]


def _revisions(manifests: Path) -> Iterator[Path]:
    return (link.parent for link in manifests.glob("revisions/*/*/link"))


def _tagged(manifests: Path) -> set[Digest]:
    return {link.read_text().strip() for link in manifests.glob("tags/*/current/link")}


def _blobs(data: Path) -> Iterator[Path]:
    return (content.parent for content in (data / _ROOT / "blobs").glob("*/*/*/data"))


def _blob(data: Path, digest: Digest) -> Path:
    algorithm, _, digits = digest.partition(":")
    return data / _ROOT / "blobs" / algorithm / digits[:2] / digits


def _digest(folder: Path) -> Digest:
    """The digest of a blob's folder: `…/sha256/ab/abcd…`; of a manifest's: `…/sha256/abcd…`."""
    above = folder.parent if len(folder.parent.name) > 2 else folder.parent.parent
    return f"{above.name}:{folder.name}"


def _size(blob: Path) -> int:
    try:
        return (blob / "data").stat().st_size
    except FileNotFoundError:  # of a registry that is up, and was asked to delete it
        return 0
