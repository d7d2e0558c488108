"""Cache: the folder of compiled objects that outlives every tree, and what one run found in it."""

import os
import secrets
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from cephtasks.errors import CacheUnwritable
from cephtasks.settings import Settings

MOUNTED_AT = "/ccache"
_HITS = ("direct_cache_hit", "preprocessed_cache_hit")


@dataclass(frozen=True)
class CacheUse:
    """How often a compiler was asked for, and how often the cache had what it would have made."""

    compiled: int
    hits: int

    @property
    def percent(self) -> int:
        """The share of hits, rounded down so that only all of them are 100."""
        return 100 * self.hits // self.compiled


def folder_for(settings: Settings, user: str) -> Path:
    """CCACHE_DIR, or a folder in the caller's cache folder: root has one for each owner of sources."""
    if settings.ccache_dir is not None:
        return settings.ccache_dir.resolve()
    uid = user.partition(":")[0]
    name = "ccache" if int(uid) == os.getuid() else f"ccache-{uid}"
    return platformdirs.user_cache_path("cephtasks") / name


def make(folder: Path, user: str) -> None:
    """See that the folder is there and that `uid:gid` can write to it. Raises CacheUnwritable."""
    uid, gid = map(int, user.split(":"))
    try:
        if not folder.exists():
            folder.mkdir(parents=True, exist_ok=True)
            if uid != os.getuid():
                os.chown(folder, uid, gid)
        if not _may_write(folder.stat(), uid, gid):
            raise PermissionError(13, f"it is not for {user} to write to")
    except OSError as error:
        fact = f"compiled objects cannot be kept in {folder}: {error.strerror}"
        mend = "CCACHE_DIR=FOLDER invoke compile, or COMPILER_LAUNCHER=none invoke compile"
        raise CacheUnwritable(fact, mend) from error


def _may_write(status: os.stat_result, uid: int, gid: int) -> bool:
    if uid in (0, status.st_uid):
        return uid == 0 or bool(status.st_mode & 0o200)
    return bool(status.st_mode & (0o020 if gid == status.st_gid else 0o002))


class RunLog:
    """The file in the cache's folder in which ccache tells what became of each call of one run.

    It is there for as long as the block lasts; where no folder is given, nothing is.
    """

    def __init__(self, folder: Path | None) -> None:
        """Name the file; ccache makes it."""
        self._path = folder / f"cephtasks-{secrets.token_hex(6)}.log" if folder else None

    def __enter__(self) -> "RunLog":
        return self

    def __exit__(self, *exception: object) -> None:
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    @property
    def variables(self) -> dict[str, str]:
        """What tells ccache to write it."""
        return {"CCACHE_STATSLOG": f"{MOUNTED_AT}/{self._path.name}"} if self._path else {}

    def use(self) -> CacheUse | None:
        """What the file tells; None where no compiler was asked for, or the cache keeps no such file."""
        try:
            counts = Counter(self._path.read_text(errors="replace").splitlines()) if self._path else Counter()
        except OSError:
            return None
        hits = sum(counts[name] for name in _HITS)
        compiled = hits + counts["cache_miss"]
        return CacheUse(compiled, hits) if compiled else None
