"""Memory: the most that a pack and push holds at once, and how it grows with the tree."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench import wait
from bench.contest import BYTES, SECONDS, Result
from bench.edits import edit
from bench.stage import Stage
from lab.terminal import Terminal

_BOUND = 200_000_000
_LARGE = 4_000_000_000


@dataclass(frozen=True)
class Usage:
    """What a process took: seconds, and its largest resident set in bytes."""

    seconds: float
    peak: int


def of_first_push(stage: Stage, rounds: int) -> list[Result]:
    """The peak of the whole tree's first pack and push, the largest of all rounds."""
    peak = max(_first_push(stage, stage.tree).peak for _ in range(rounds))
    return [Result("first pack and push of the whole tree: memory", "200 MB", BYTES, peak, _BOUND, 1)]


def of_large_tree(stage: Stage, rounds: int) -> list[Result]:
    """Time and memory of a tree of 4 GB, made of longer files as those of debug binaries are; held once."""
    times = _times(stage)
    small, large = _first_push(stage, stage.tree), _grown(stage, _lengthen)
    work = "a tree of 4 GB, of longer files"
    return [
        Result(
            f"{work}: time",
            f"the whole tree, {times} times",
            SECONDS,
            large.seconds,
            times * small.seconds,
            1.1,
        ),
        Result(f"{work}: memory", "the whole tree", BYTES, large.peak, small.peak, 1.1),
    ]


def of_many_files(stage: Stage, rounds: int) -> list[Result]:
    """The memory of a tree of 4 GB, made of more files: their index has to be held; held once."""
    small, many = _first_push(stage, stage.tree), _grown(stage, _multiply)
    work = "a tree of 4 GB, of more files: memory"
    return [
        Result(work, "the whole tree", BYTES, many.peak, small.peak),
        Result(work, "200 MB", BYTES, many.peak, _BOUND, 1),
    ]


def usage(terminal: Terminal, *words: str) -> Usage:
    """Type `invoke` and see what it takes."""
    done = subprocess.run(
        [sys.executable, "-I", str(Path(wait.__file__)), *terminal.command(*words)],
        cwd=terminal.folder,
        env=terminal.environment(),
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"invoke {' '.join(words)} ended with {done.returncode}")
    seconds, peak = done.stdout.split()
    return Usage(float(seconds), int(peak))


def _first_push(stage: Stage, tree: Path) -> Usage:
    with stage.registry() as registry, stage.terminal(registry) as terminal:
        os.sync()
        return usage(terminal, "pack", "--tree", str(tree), "push")


def _grown(stage: Stage, grow: Callable[[Path, Path, int], None]) -> Usage:
    large = stage.folder / "large"
    try:
        grow(stage.tree, large, _times(stage))
        return _first_push(stage, large)
    finally:
        shutil.rmtree(large, ignore_errors=True)


def _lengthen(tree: Path, large: Path, times: int) -> None:
    """Lay out a tree whose files are so many times as long, and do not repeat themselves."""
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


def _times(stage: Stage) -> int:
    return -(-_LARGE // sum(path.stat().st_size for path in _files(stage.tree)))


def _files(tree: Path) -> list[Path]:
    return [path for path in tree.rglob("*") if path.is_file() and not path.is_symlink()]
