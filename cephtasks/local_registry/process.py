"""Processes: start a program that outlives us, and end that very one."""

import contextlib
import os
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_PATIENCE = 10.0  # seconds that a program gets to end by itself
_POLL = 0.02
_ENDED = frozenset("ZX")


@dataclass(frozen=True)
class Process:
    """A program that runs; `started` (clock ticks since boot) tells it from a later one with its pid."""

    pid: int
    started: int


def start(command: Sequence[str], log: Path, environment: Mapping[str, str] = {}) -> Process:
    """Start a program in a session of its own, its output going to `log`; `command[0]` is a path.

    It gets this environment and no more, so that nothing set for us changes what it does. Raises OSError.
    """
    with log.open("ab") as output:
        streams = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, output.fileno(), 1),
            (os.POSIX_SPAWN_DUP2, output.fileno(), 2),
        ]
        pid = os.posix_spawn(command[0], list(command), dict(environment), file_actions=streams, setsid=True)
    _, started = _state(pid) or ("", 0)
    return Process(pid, started)


def is_running(process: Process) -> bool:
    """Whether this very program still runs."""
    state = _state(process.pid)
    if state is None or state[1] != process.started:
        return False
    return state[0] not in _ENDED or _has_more_threads(process.pid)


def end(process: Process) -> None:
    """End a program, by force where it takes too long; nothing happens to one that has ended.

    Raises PermissionError for a program of another user.
    """
    for number in (signal.SIGTERM, signal.SIGKILL):
        if is_running(process):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, number)
        _wait(process)
    # Where it is our own child it stays in the table until it is asked for.
    with contextlib.suppress(ChildProcessError):
        os.waitpid(process.pid, os.WNOHANG)


def _wait(process: Process) -> None:
    deadline = time.monotonic() + _PATIENCE
    while is_running(process) and time.monotonic() < deadline:
        time.sleep(_POLL)


def _has_more_threads(pid: int) -> bool:
    """Whether threads are left beside the first one: they keep ports and files open after it has ended."""
    try:
        return len(list(Path(f"/proc/{pid}/task").iterdir())) > 1
    except OSError:
        return False


def _state(pid: int) -> tuple[str, int] | None:
    """The state and the start time of a pid (proc(5), /proc/pid/stat: fields 3 and 22)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()  # the name before it may hold anything
    return fields[0], int(fields[19])
