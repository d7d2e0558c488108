"""Index cache: index an install tree, reading only files that changed since the last time."""

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from cephtasks.errors import StateUnwritable
from cephtasks.folder import Scan, Stamp, scan_folder
from cephtasks.tree import Entry

UNREAD = "unread"  # in place of the hash of a file that was not wanted
_VERSION = 1
# A file that is written twice within one tick of its file system's clock keeps its stamp. Ticks last
# up to two seconds (FAT), so a younger stamp proves nothing, and is not remembered.
_LONGEST_TICK_NS = 2_000_000_000

_Hashes = dict[str, list[int | str]]  # path, to sha256 and stamp


def index_folder(
    folder: Path, cache: Path, wanted: Callable[[str], bool] = lambda _path: True
) -> dict[str, Entry]:
    """Index a folder as an install tree; the file `cache` remembers the hashes of its files.

    Files of a path that is not `wanted` are not read, and have UNREAD for a hash.
    A cache that is missing, damaged or of another folder costs time, never correctness. Raises
    TreeInvalid as `folder.index_folder` does, StateUnwritable where the cache cannot be written.
    """
    started = time.time_ns()
    known = _read(cache)

    def known_hash(path: str, stamp: Stamp) -> str:
        if not wanted(path):
            return UNREAD
        found = known.get(path)
        return str(found[0]) if isinstance(found, list) and found[1:] == [*stamp] else ""

    scan = scan_folder(folder, known_hash)
    settled = _settled(scan, started - _LONGEST_TICK_NS)
    if settled != known:
        _write(cache, settled)
    return scan.index


def _settled(scan: Scan, latest: int) -> _Hashes:
    # Every write sets ctime, and nothing but a write does; mtime can be set to anything.
    return {
        path: [scan.index[path].sha256, *stamp]
        for path, stamp in scan.stamps.items()
        if stamp[2] < latest and scan.index[path].sha256 != UNREAD
    }


def _read(cache: Path) -> _Hashes:
    try:
        document = json.loads(cache.read_bytes())
        return dict(document["files"]) if document["version"] == _VERSION else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _write(cache: Path, files: _Hashes) -> None:
    document = json.dumps({"version": _VERSION, "files": files}, separators=(",", ":"))
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=cache.parent, prefix=cache.name, delete=False) as beside:
            try:
                beside.write(document)
                beside.close()
                Path(beside.name).replace(cache)
            finally:
                Path(beside.name).unlink(missing_ok=True)
    except OSError as error:
        fact = f"{cache} cannot be written: {error.strerror}"
        raise StateUnwritable(fact, f"ls -ld {cache.parent}") from error
