"""Watching: tell when files of a source tree were saved."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from watchfiles import Change, DefaultFilter, watch

from cephtasks.errors import WatchFailed
from cephtasks.source.git import Git

_STEP = 200  # milliseconds without another save that end a round, as when all files of an editor are saved
_FIRST = 50  # milliseconds to begin
_NAMED_TO_GIT = 100  # files; more are never only what a build wrote


def rounds(folder: Path, ignored: Sequence[Path]) -> Iterator[tuple[Path, ...]]:
    """At once nothing, and then whenever files were saved, these; Ctrl-C while waiting ends it.

    What was saved while the caller was busy comes next. What lies in `ignored`, in a `.git` or in an
    editor's own files does not count, nor does what git ignores. Raises WatchFailed.
    """
    root, without, editors = folder.resolve(), [path.resolve() for path in ignored], DefaultFilter()

    def counts(change: Change, path: str) -> bool:
        return editors(change, path) and not any(Path(path).is_relative_to(each) for each in without)

    changes = watch(root, watch_filter=counts, step=_STEP, rust_timeout=_FIRST, yield_on_timeout=True)
    try:
        next(changes)  # from now on saves are noticed
        yield ()
        for changed in changes:
            saved = tuple(sorted({Path(path).relative_to(root) for _, path in changed}))
            if saved and not _are_ignored(root, saved):
                yield saved
    except KeyboardInterrupt:
        return
    except OSError as error:
        fact = f"{folder} cannot be watched: {error.strerror or error}"
        raise WatchFailed(fact, "sudo sysctl fs.inotify.max_user_watches=1048576") from error


def _are_ignored(root: Path, saved: Sequence[Path]) -> bool:
    """Whether git ignores all of it, as what a build writes beside the source."""
    if len(saved) > _NAMED_TO_GIT or not (root / ".git").exists():
        return False
    ignored = Git(root).ask("check-ignore", "--", *map(str, saved)) or ""
    return len(ignored.splitlines()) == len(saved)
