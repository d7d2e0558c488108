"""Usage: type `invoke`, and see the seconds and the memory that it takes."""

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from lab import wait
from lab.terminal import Terminal


@dataclass(frozen=True)
class Usage:
    """What a process took: seconds, and its largest resident set in bytes; and what it printed on stdout."""

    seconds: float
    peak: int
    printed: str


def usage(terminal: Terminal, *words: str) -> Usage:
    """Type `invoke` to its good end."""
    with tempfile.NamedTemporaryFile("r") as taken:
        done = subprocess.run(
            [sys.executable, "-I", str(Path(wait.__file__)), taken.name, *terminal.command(*words)],
            cwd=terminal.folder,
            env=terminal.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise AssertionError(f"invoke {' '.join(words)} ended with {done.returncode}: {done.stderr}")
        seconds, peak = taken.read().split()
    return Usage(float(seconds), int(peak), done.stdout)
