"""Git in the builder: a build may ask which commit it compiles, as Ceph's does."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cephtasks import builder, settings
from cephtasks.engine import Engine
from cephtasks.settings import Settings
from cephtasks.source import describe
from lab.users import public_folder

_OWNER = 4711
_ASK = """
set -e
mkdir -p build/install
git describe --always --dirty > build/install/commit
if [ -e library/.git ]; then git -C library describe --always > build/install/library; fi
"""


@pytest.fixture(autouse=True)
def identity(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commits need a name, and submodules on local paths need leave."""
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_NAME", "A Tester")
        monkeypatch.setenv(f"GIT_{who}_EMAIL", "tester@example.com")
    monkeypatch.setenv("GIT_ALLOW_PROTOCOL", "file")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)


@pytest.fixture
def asking(engine: Engine, tmp_path: Path) -> Settings:
    """Settings whose build asks git, in our own builder image."""
    engine.require_image(builder.OUR_BUILDER, "script/bootstrap")
    flags = {"STATE_DIR": str(tmp_path / "state"), "BUILD_COMMAND": "sh ask.sh"}
    return settings.load(flags, environment={}, folder=tmp_path)


@pytest.fixture
def tree() -> Iterator[Path]:
    """A checkout with a submodule, which all belongs to somebody who is not root."""
    with public_folder() as above:
        library, folder = repository(above / "library"), repository(above / "ceph")
        git(folder, "submodule", "--quiet", "add", str(library), "library")
        git(folder, "commit", "--quiet", "--message=with a submodule")
        for path in (above, *above.rglob("*")):
            os.chown(path, _OWNER, _OWNER, follow_symlinks=False)
        yield folder


def repository(folder: Path) -> Path:
    """A repository with one commit."""
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=master")
    (folder / "ask.sh").write_text(_ASK)
    (folder / ".gitignore").write_text("build/\n")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", f"--message={folder.name}")
    return folder


def git(folder: Path, *arguments: str) -> str:
    """What git prints, asked by whoever owns the folder."""
    user = folder.stat().st_uid
    command = ["git", "-C", str(folder), *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True, user=user, group=user)
    return done.stdout.strip()


def test_a_checkout_and_its_submodules_are_known(engine: Engine, asking: Settings, tree: Path) -> None:
    """Git trusts the tree, as the builder runs as its owner, and submodules lie within it."""
    compiled = builder.compile(describe(tree), asking, engine)
    assert (compiled.tree / "commit").read_text().strip() == git(tree, "describe", "--always")
    assert (compiled.tree / "library").read_text().strip() == git(tree / "library", "describe", "--always")


def test_a_worktree_is_known(engine: Engine, asking: Settings, tree: Path) -> None:
    """The git folder of a worktree lies elsewhere, and the builder can read it, but not write to it."""
    worktree = tree.parent / "wip"
    git(tree, "worktree", "add", "--quiet", "--detach", str(worktree))
    (worktree / "ask.sh").write_text(_ASK + "\n! touch $(git rev-parse --git-common-dir)/touched\n")
    compiled = builder.compile(describe(worktree), asking, engine)
    assert (compiled.tree / "commit").read_text().strip() == git(tree, "describe", "--always") + "-dirty"
    assert not (tree / ".git/touched").exists()


def test_the_submodules_of_a_worktree_are_known(engine: Engine, asking: Settings, tree: Path) -> None:
    """They name their repository, and it them, by relative paths, which lead there in the builder too."""
    worktree = tree.parent / "deeper" / "wip"
    git(tree, "worktree", "add", "--quiet", "--detach", str(worktree))
    git(worktree, "submodule", "--quiet", "update", "--init")
    compiled = builder.compile(describe(worktree), asking, engine)
    assert (compiled.tree / "commit").read_text().strip() == git(tree, "describe", "--always")
    assert (compiled.tree / "library").read_text().strip() == git(tree / "library", "describe", "--always")


def test_objects_shared_with_another_repository_are_known(
    engine: Engine, asking: Settings, tree: Path
) -> None:
    """A clone that borrows from one that borrows itself reads all their objects in the builder."""
    first, second = tree.parent / "first", tree.parent / "second"
    git(tree.parent, "clone", "--quiet", "--shared", str(tree), str(first))
    git(tree.parent, "clone", "--quiet", "--shared", str(first), str(second))
    compiled = builder.compile(describe(second), asking, engine)
    assert (compiled.tree / "commit").read_text().strip() == git(tree, "describe", "--always")
