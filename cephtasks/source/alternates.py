"""Alternates: find the repositories that a git tree shares objects with."""

import os
from collections.abc import Iterator
from pathlib import Path

from cephtasks.errors import ObjectsGone
from cephtasks.source.git import Git


def repositories(git_folder: Path) -> Iterator[Path]:
    """A tree's git folder, and those of its submodules below it."""
    yield git_folder
    for folder, below, _ in os.walk(git_folder / "modules"):
        if {"objects", "refs"} <= set(below):
            yield Path(folder)
            below[:] = [name for name in below if name == "modules"]


def borrowed(folder: Path) -> tuple[Path, ...]:
    """The object folders outside of a tree that its git needs. Raises ObjectsGone, GitMissing, GitFailed."""
    common = Git(folder).ask("rev-parse", "--path-format=absolute", "--git-common-dir")
    needed: dict[Path, Path] = {}
    for repository in repositories(Path(common)) if common else ():
        _follow(repository / "objects", repository, needed)
    for objects, borrower in needed.items():
        if not objects.is_dir():
            fact = f"{borrower} has objects in {objects} that git needs, and that folder is gone"
            raise ObjectsGone(fact, f"bring it back, or mv {folder} {folder}.old and type the same again")
    return tuple(needed)


def _follow(objects: Path, borrower: Path, needed: dict[Path, Path]) -> None:
    """Add what an object folder names in its file of alternates, by gitrepository-layout(5), and so on."""
    try:
        lines = (objects / "info" / "alternates").read_text().splitlines()
    except OSError:
        return  # it has none
    for line in lines:
        other = objects / line
        if line and not line.startswith("#") and other not in needed:
            needed[other] = borrower
            _follow(other, borrower, needed)
