"""Clone: bring a repository onto this disk, beside the place that it gets once it is whole."""

import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cephtasks import console
from cephtasks.errors import GitFailed
from cephtasks.source.alternates import repositories
from cephtasks.source.git import Git, OnOutput, progress

# A submodule looks for its objects at the same place of the repository that its superproject borrows from.
_SHARING = ("submodule.alternateLocation=superproject", "submodule.alternateErrorStrategy=info")


@dataclass(frozen=True)
class CloneOptions:
    """How little to fetch: a `filter` of git's, the last `depth` commits, what a `reference` clone lacks."""

    filter: str = ""
    depth: int | None = None
    reference: Path | None = None

    @property
    def of_clone(self) -> tuple[str, ...]:
        """The options of `git clone`."""
        borrowing = [f"--reference={self.reference}", *(f"--config={each}" for each in _SHARING)]
        return (*self.of_submodules, *(borrowing if self.reference else ()))

    @property
    def of_submodules(self) -> tuple[str, ...]:
        """The options of `git submodule update`."""
        filtered = (f"--filter={self.filter}",) if self.filter else ()
        return (*filtered, *((f"--depth={self.depth}",) if self.depth else ()))


WHOLE = CloneOptions()


def is_filled(folder: Path) -> bool:
    """Whether there is something in a folder, so that nothing is to be cloned there."""
    return folder.exists() and any(folder.iterdir())


def clone(
    folder: Path,
    url: str,
    how: CloneOptions,
    branch: str,
    on_output: OnOutput,
    check_out: Callable[[Git], None],
) -> None:
    """Clone, have it checked out, and only then give it its place; what was cut short is gone on with.

    What git fetched whole stays for the next attempt, as does each whole submodule. `branch` names a branch
    or tag to fetch alone, as `how.depth` means that. Raises GitFailed, and what `check_out` raises.
    """
    scratch = folder.parent / f".{folder.name}-clone-{_key(url, how)}"
    with _alone(scratch):
        if is_filled(folder):
            return  # by whom we waited for
        fresh = scratch / folder.name
        try:
            if fresh.exists():
                _go_on(Git(fresh, on_output), how)
            else:
                _fetch(Git(scratch, on_output), fresh, url, how, branch)
            check_out(Git(fresh, on_output))
            fresh.rename(folder)
        except BaseException:
            if not fresh.exists():
                shutil.rmtree(scratch)
            raise
        _remove_leftovers(folder)


def _fetch(git: Git, fresh: Path, url: str, how: CloneOptions, branch: str) -> None:
    """Let git clone next to `fresh`, as git itself cannot go on with what it left unfinished."""
    part = fresh.with_name("part")
    shutil.rmtree(part, ignore_errors=True)
    only = (f"--branch={branch}",) if how.depth and branch else ()
    cloned = git.run("clone", *progress(), "--no-checkout", *how.of_clone, *only, "--", url, str(part))
    if cloned.exit_code:
        raise GitFailed(cloned.reason)
    part.rename(fresh)


def _go_on(git: Git, how: CloneOptions) -> None:
    """Take from a clone that was cut short what is whole: its objects, and those of its submodules."""
    console.say(f"going on with the clone in {git.folder}")
    own = git.folder / ".git"
    for left in [path for path in git.folder.iterdir() if path != own]:
        shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()
    for lock in own.rglob("*.lock"):
        lock.unlink()
    for repository in repositories(own):
        (repository / "index").unlink(missing_ok=True)
        if repository != own and Git(repository).resolve("HEAD") is None:
            shutil.rmtree(repository)
    depth = (f"--depth={how.depth}",) if how.depth else ()
    fetched = git.run("fetch", *progress(), *depth, "origin")
    if fetched.exit_code:
        raise GitFailed(fetched.reason)


def _key(url: str, how: CloneOptions) -> str:
    """What tells one clone's leftovers from those of another."""
    return hashlib.sha256(repr((url, how)).encode()).hexdigest()[:12]


@contextmanager
def _alone(scratch: Path) -> Iterator[None]:
    """Have the scratch folder for oneself; it belongs to whom the folder above belongs to."""
    scratch.mkdir(exist_ok=True)
    if os.getuid() == 0:
        os.chown(scratch, scratch.parent.stat().st_uid, -1)
    held = os.open(scratch, os.O_RDONLY)
    try:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            console.say(f"waiting for another clone, in {scratch}")
            fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)


def _remove_leftovers(folder: Path) -> None:
    """Remove what was cloned beside the folder, from elsewhere and with other options too."""
    name = re.compile(rf"\.{re.escape(folder.name)}-clone-[0-9a-f]{{12}}")
    for left in folder.parent.iterdir():
        if name.fullmatch(left.name):
            shutil.rmtree(left)
