"""Memory: the most that a pack and push holds at once, and how it grows with the tree."""

import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

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
    """Time and memory of a tree of 4 GB, made of edited copies of the real one; held once."""
    large, size = stage.folder / "large", _size(stage.tree)
    try:
        copies = -(-_LARGE // size)
        for number in range(copies):
            copy = large / "opt" / str(number)
            shutil.copytree(stage.tree, copy, symlinks=True)
            for path in copy.rglob("*"):
                if path.is_file() and not path.is_symlink():
                    edit(path)
        small_usage, large_usage = _first_push(stage, stage.tree), _first_push(stage, large)
    finally:
        shutil.rmtree(large, ignore_errors=True)
    work, against = "a tree of 4 GB", f"the whole tree, {copies} times"
    return [
        Result(f"{work}: time", against, SECONDS, large_usage.seconds, copies * small_usage.seconds, 1.1),
        Result(f"{work}: memory", "the whole tree", BYTES, large_usage.peak, small_usage.peak, 1.1),
    ]


def _first_push(stage: Stage, tree: Path) -> Usage:
    with stage.registry() as registry, stage.terminal(registry) as terminal:
        os.sync()
        return usage(terminal, "pack", "--tree", str(tree), "push")


def usage(terminal: Terminal, *words: str) -> Usage:
    """Type `invoke` and see what it takes; only `wait4` tells that of one process."""
    started = time.perf_counter()
    process = subprocess.Popen(
        terminal.command(*words),
        cwd=terminal.folder,
        env=terminal.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, used = os.wait4(process.pid, 0)
    took = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"invoke {' '.join(words)} ended with {process.returncode}")
    return Usage(took, used.ru_maxrss * 1024)


def _size(tree: Path) -> int:
    return sum(path.lstat().st_size for path in tree.rglob("*") if path.is_file())
