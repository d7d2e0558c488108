"""Checkout: the git checkout to build: cloned, switched, described; work in it is never discarded."""

import os
import re
import shlex
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from cephtasks import console
from cephtasks.errors import (
    CloneFailed,
    GitFailed,
    GitUrlInvalid,
    RefUnknown,
    SourceDirty,
    SourceNotFolder,
)
from cephtasks.source.alternates import borrowed
from cephtasks.source.clone import WHOLE, CloneOptions, clone, is_filled
from cephtasks.source.git import Git, OnOutput, progress
from cephtasks.source.refs import far_name, find, is_sha

# refs/worktree/ is apart for each worktree (git-worktree(1)), and its commits outlive a garbage collection.
_SWITCHING = "refs/worktree/cephtasks-switching"
_SWITCHED = "refs/worktree/cephtasks-switched"
_FILES_NAMED = 5


@dataclass(frozen=True)
class Source:
    """A source tree: which commit it is at, and whether tracked files differ from that commit.

    `commit` and `committed` (RFC 3339, UTC) are None where there is no git; `git_url` is where
    the tree says it comes from, without credentials; `edited` is when the last of the tracked files that
    differ was saved, in seconds of Unix.
    """

    folder: Path
    commit: str | None
    dirty: bool
    ref: str
    committed: str | None
    git_url: str = ""
    edited: float | None = None


def prepare(
    folder: Path,
    git_url: str,
    ref: str,
    on_output: OnOutput,
    dry: bool = False,
    how: CloneOptions = WHOLE,
) -> Source:
    """Clone into `folder` where it is missing or empty, switch it to `ref`, and describe it.

    An empty `ref`, or a folder without git, is taken as it is. git's progress goes to `on_output`. A `dry`
    run only tells what git would be asked to do.
    Raises SourceNotFolder, GitMissing, GitUrlInvalid, CloneFailed, RefUnknown, ObjectsGone, SourceDirty,
    GitFailed.
    """
    if folder.exists() and not folder.is_dir():
        raise SourceNotFolder(f"SOURCE_DIR is not a folder: {folder}", "invoke settings")
    missing = not is_filled(folder)
    if dry:
        _tell(folder, git_url, ref, missing, how)
    elif missing:
        _clone(folder.resolve(), git_url, ref, how, on_output)
    elif ref and (folder / ".git").exists():
        borrowed(folder)
        _switch_if_elsewhere(Git(folder, on_output), ref, how)
    return describe(folder, ref)


def describe(folder: Path, ref: str = "") -> Source:
    """Tell what `folder` holds, touching nothing. Raises ObjectsGone, GitMissing, GitFailed."""
    if not (folder / ".git").exists():
        return Source(folder, commit=None, dirty=False, ref="", committed=None)
    borrowed(folder)
    git = Git(folder)
    commit, changes = git.resolve("HEAD"), _changes(git)
    return Source(
        folder,
        commit=commit,
        dirty=bool(changes),
        ref=ref,
        committed=_utc(git.read("show", "--no-patch", "--format=%cI", commit)) if commit else None,
        git_url=without_credentials(git.ask("config", "--get", "remote.origin.url") or ""),
        edited=last_saved(folder / change.path for change in changes),
    )


def last_saved(files: Iterable[Path]) -> float | None:
    """When the last of some files was saved, in seconds of Unix; those that are gone do not count."""
    times = []
    for file in files:
        with suppress(OSError):
            times.append(file.lstat().st_mtime)
    return max(times, default=None)


def labels(source: Source) -> dict[str, str]:
    """The image labels that say which source an image was made from.

    Keys are those of the OCI image specification (annotations.md), and one of our own.
    A tree without git has none: nothing true can be said.
    """
    if source.commit is None:
        return {}
    url = without_credentials(source.git_url)
    return {
        "org.opencontainers.image.revision": source.commit,
        **({"org.opencontainers.image.source": url} if url else {}),
        "cephtasks.source.dirty": "true" if source.dirty else "false",
    }


def without_credentials(git_url: str) -> str:
    """The URL without a password; the user too is left out, except of ssh, where it is no secret."""
    if "://" not in git_url:
        return git_url
    parts = urlsplit(git_url)
    user, at, host = parts.netloc.rpartition("@")
    keep = user.partition(":")[0] + at if parts.scheme.endswith("ssh") else ""
    return urlunsplit(parts._replace(netloc=keep + host))


def _tell(folder: Path, git_url: str, ref: str, missing: bool, how: CloneOptions) -> None:
    """What `prepare` would ask of git, as lines that can be typed."""
    if missing:
        words = ["git", "clone", "--recurse-submodules", *how.of_clone, without_credentials(git_url)]
        console.say(shlex.join([*words, str(folder)]))
    if ref and (missing or (folder / ".git").exists()):
        console.say(shlex.join(["git", "-C", str(folder), "checkout", "--detach", ref]))


def _clone(folder: Path, git_url: str, ref: str, how: CloneOptions, on_output: OnOutput) -> None:
    shown = without_credentials(git_url)
    if shown != git_url:
        raise GitUrlInvalid(
            f"GIT_URL holds credentials: {shown}", "git config --global credential.helper store"
        )
    url = str(Path(git_url).resolve()) if Path(git_url).exists() else git_url
    hint = f"git ls-remote {shown}"

    def check_out(git: Git) -> None:
        _check_out(git, find(git, ref, how.depth) if ref else None, how)

    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        # A misspelt ref must not cost a long clone.
        far = far_name(Git(folder.parent), url, ref)
        if ref and far is None and not is_sha(ref):
            raise RefUnknown(ref)
        console.say(f"cloning {shown} into {folder}")
        branch = re.fullmatch("refs/(?:heads|tags)/(.+)", far or "")
        clone(folder, url, how, branch[1] if branch else "", on_output, check_out)
    except OSError as error:
        raise CloneFailed(f"cannot clone {shown} into {folder}: {error.strerror}", hint) from error
    except GitFailed as error:
        raise CloneFailed(f"cannot clone {shown}: {error.fact}", hint) from error
    except RefUnknown as error:
        raise RefUnknown(f"{ref} is not in {shown}", hint) from error


def _switch_if_elsewhere(git: Git, ref: str, how: CloneOptions) -> None:
    """Check out `ref` unless the tree is there already, and finish a switch that was cut short."""
    branch = git.ask("symbolic-ref", "--quiet", "HEAD")
    if branch in (ref, f"refs/{ref}", f"refs/heads/{ref}"):
        return
    commit = find(git, ref, how.depth)
    if commit == git.resolve("HEAD") and commit != git.resolve(_SWITCHING):
        return
    _require_nothing_lost(git)
    _check_out(git, commit, how)


def _require_nothing_lost(git: Git) -> None:
    """Refuse where commits or a submodule's changes would be lost; of plain files git itself takes care."""
    if not _is_held(git):
        raise SourceDirty(
            f"{git.folder} has commits that are on no branch", f"git -C {git.folder} branch my-work"
        )
    lost = [
        change.path
        for change in _changes(git)
        if change.submodule and (change.edited or not _is_held(Git(git.folder / change.path)))
    ]
    if lost:
        raise _dirty(git, lost)


def _is_held(git: Git) -> bool:
    """Whether a branch, a tag or we ourselves keep the commit that is checked out."""
    if git.resolve("HEAD") is None or git.ask("symbolic-ref", "--quiet", "HEAD"):
        return True
    places = ("refs/heads", "refs/tags", "refs/remotes", _SWITCHED)
    return bool(git.read("for-each-ref", "--count=1", "--contains=HEAD", *places))


def _check_out(git: Git, wanted: str | None, how: CloneOptions) -> None:
    """Check out a commit and the submodules' that go with it; None means the branch that HEAD names."""
    commit = wanted or git.read("rev-parse", "HEAD")
    git.read("update-ref", _SWITCHING, commit)
    # An ignored file that is in the way is somebody's work too.
    options = ("--detach", "--no-overwrite-ignore", wanted) if wanted else ()
    switched = git.run("checkout", *progress(), *options, whole=True)
    if switched.exit_code:
        git.read("update-ref", "-d", _SWITCHING)
        if files := re.findall(r"^\t(.+)$", switched.output, re.MULTILINE):
            raise _dirty(git, files)
        fact = f"cannot switch {git.folder} to {commit[:12]}: {switched.reason}"
        raise GitFailed(fact, f"git -C {git.folder} status")
    command = ("submodule", "update", "--init", "--recursive")
    jobs = f"--jobs={os.cpu_count() or 1}"
    updated = git.run(*command, jobs, *how.of_submodules, *progress())
    if updated.exit_code:
        raise GitFailed(
            f"cannot update the submodules of {git.folder}: {updated.reason}",
            f"git -C {git.folder} {' '.join(command)}",
        )
    git.read("update-ref", _SWITCHED, commit)
    git.read("update-ref", "-d", _SWITCHING)


def _dirty(git: Git, files: Sequence[str]) -> SourceDirty:
    more = len(files) - _FILES_NAMED
    names = ", ".join(files[:_FILES_NAMED]) + (f" and {more} more" if more > 0 else "")
    return SourceDirty(
        f"switching {git.folder} would lose uncommitted work: {names}",
        f"git -C {git.folder} stash, or SHA1_OR_REF= to build the tree as it is",
    )


@dataclass(frozen=True)
class _Change:
    """A tracked path that differs from HEAD; of a submodule, whether files in it are edited."""

    path: str
    submodule: bool
    edited: bool


def _changes(git: Git) -> list[_Change]:
    """Tracked paths that differ from HEAD, by git-status(1), porcelain format 2."""
    records = git.read(
        "status",
        "--porcelain=v2",
        "-z",
        "--no-renames",
        "--untracked-files=no",
        "--ignore-submodules=untracked",
    )
    changes = []
    for record in filter(None, records.split("\0")):
        fields = record.split(" ", 10 if record.startswith("u") else 8)
        changes.append(_Change(fields[-1], submodule=fields[2][0] == "S", edited=fields[2][2] == "M"))
    return changes


def _utc(moment: str) -> str:
    return datetime.fromisoformat(moment).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
