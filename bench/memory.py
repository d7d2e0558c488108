"""Memory: the most that a pack and push holds at once, and how it grows with the tree."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from bench.contest import BYTES, SECONDS, Result
from bench.edits import edit
from bench.stage import Stage
from lab.usage import Usage, usage

_BOUND = 200_000_000
_LARGE = 4_000_000_000


def of_first_push(stage: Stage, rounds: int) -> list[Result]:
    """The peak of the whole tree's first pack and push, the largest of all rounds."""
    peak = max(_first_push(stage, stage.tree).peak for _ in range(rounds))
    return [Result("first pack and push of the whole tree: memory", "200 MB", BYTES, peak, _BOUND, 1)]


def of_large_tree(stage: Stage, rounds: int) -> list[Result]:
    """Time and memory of a tree of 4 GB, made of edited copies of the real one; held once."""
    return _of_tree(stage, "a tree of 4 GB", _multiply)


def of_long_files(stage: Stage, rounds: int) -> list[Result]:
    """Time and memory of a tree of 4 GB, made of longer files as those of debug binaries are; held once."""
    return _of_tree(stage, "a tree of 4 GB, of longer files", _lengthen)


def _of_tree(stage: Stage, work: str, grow: Callable[[Path, Path, int], None]) -> list[Result]:
    large, times = (
        stage.folder / "large",
        -(-_LARGE // sum(path.stat().st_size for path in _files(stage.tree))),
    )
    try:
        grow(stage.tree, large, times)
        ours, peer = _first_push(stage, large), _first_push(stage, stage.tree)
    finally:
        shutil.rmtree(large, ignore_errors=True)
    against = f"the whole tree, {times} times"
    return [
        Result(f"{work}: time", against, SECONDS, ours.seconds, times * peer.seconds, 1.1),
        Result(f"{work}: memory", "the whole tree", BYTES, ours.peak, peer.peak, 1.1),
    ]


def _first_push(stage: Stage, tree: Path) -> Usage:
    with stage.registry() as registry, stage.terminal(registry) as terminal:
        os.sync()
        return usage(terminal, "pack", "--tree", str(tree), "push")


def _lengthen(tree: Path, large: Path, times: int) -> None:
    """Lay out a tree whose files are so many times as long."""
    shutil.copytree(tree, large, symlinks=True)
    for path in _files(large):
        with path.open("ab") as longer:
            for _ in range(times - 1):
                with (tree / path.relative_to(large)).open("rb") as source:
                    shutil.copyfileobj(source, longer)
        edit(path)


def _multiply(tree: Path, large: Path, times: int) -> None:
    """Lay out so many trees side by side, no large file of which is that of another."""
    for number in range(times):
        copy = large / "opt" / str(number)
        shutil.copytree(tree, copy, symlinks=True)
        for path in _files(copy):
            edit(path)


def _files(tree: Path) -> list[Path]:
    return [path for path in tree.rglob("*") if path.is_file() and not path.is_symlink()]
