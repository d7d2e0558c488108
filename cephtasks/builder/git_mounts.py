"""Git mounts: show git in the container what of a source tree's repository lies outside of the tree."""

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from cephtasks.engine import Mount
from cephtasks.errors import StateUnwritable
from cephtasks.source.alternates import borrowed, repositories
from cephtasks.source.git import Git

_WORKTREE = re.compile(r"^\s*worktree = (.+)$", re.MULTILINE)


def git_mounts(folder: Path, mounted_at: str, state_dir: Path) -> tuple[Mount, ...]:
    """The git folder of a worktree, and repositories that objects are shared with: at the same paths.

    Raises ObjectsGone, StateUnwritable, GitMissing, GitFailed.
    """
    if not (folder / ".git").exists():
        return ()
    shared = [Mount(objects, str(objects), read_only=True) for objects in borrowed(folder)]
    return (*_of_worktree(folder, mounted_at, state_dir), *shared)


def _of_worktree(folder: Path, mounted_at: str, state_dir: Path) -> Iterator[Mount]:
    """A worktree knows its git folder by an absolute path, but its submodules theirs by relative ones.

    So these get a `.git` with an absolute path, and the tree is also where their git folders know it.
    """
    if not (folder / ".git").is_file():
        return
    common = Git(folder).ask("rev-parse", "--path-format=absolute", "--git-common-dir")
    own = Git(folder).ask("rev-parse", "--absolute-git-dir")
    if not (common and own):
        return
    yield Mount(Path(common), common, read_only=True)
    tree = folder.resolve()
    submodules = tuple(_submodules(Path(own), tree))
    if submodules and str(tree) != mounted_at:
        yield Mount(tree, str(tree))
    for path, repository in submodules:
        yield Mount(_git_file(repository, state_dir), f"{mounted_at}/{path}/.git", read_only=True)


def _submodules(own: Path, tree: Path) -> Iterator[tuple[Path, Path]]:
    """Each submodule that is checked out: its path in the tree, and its git folder."""
    for repository in repositories(own):
        found = _WORKTREE.search((repository / "config").read_text()) if repository != own else None
        folder = Path(os.path.normpath(repository / found[1])) if found else tree
        if folder != tree and folder.is_relative_to(tree) and (folder / ".git").is_file():
            yield folder.relative_to(tree), repository


def _git_file(repository: Path, state_dir: Path) -> Path:
    """A file that names a git folder, by gitrepository-layout(5)."""
    content = b"gitdir: " + os.fsencode(repository) + b"\n"
    file = state_dir.resolve() / "gitfiles" / hashlib.sha256(content).hexdigest()[:16]
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        if os.getuid() == 0:  # git trusts no file of another user's than the tree's
            owner = repository.stat()
            os.chown(file, owner.st_uid, owner.st_gid)
    except OSError as error:
        raise StateUnwritable(
            f"cannot write {file}: {error.strerror}", "STATE_DIR=FOLDER invoke compile"
        ) from error
    return file
