"""Compiling: RocksDB in the builder, at first, after nothing, after an edit, and from the cache."""

import re
import shlex
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from bench.contest import SECONDS, Result
from bench.stage import run
from cephtasks import console
from lab.debian import unpack_source
from lab.terminal import Terminal

# The library alone, and not optimized: all of it takes two cores the better part of an hour.
_FLAGS = (
    "-DCMAKE_BUILD_TYPE=Debug -DROCKSDB_BUILD_SHARED=OFF -DWITH_TESTS=OFF -DWITH_TOOLS=OFF"
    " -DWITH_CORE_TOOLS=OFF -DWITH_BENCHMARK_TOOLS=OFF -DWITH_TRACE_TOOLS=OFF -DWITH_GFLAGS=OFF"
    " -DWITH_LIBURING=OFF -DPORTABLE=ON"
)
_EDITED = "util/status.cc"
_NOTE = "its static library, not optimized"


def of_rocksdb(folder: Path, rounds: int) -> list[Result]:
    """What each kind of build takes of the first one, and what ours takes beside the command itself."""
    folder.mkdir()
    source = unpack_source("rocksdb", folder / "source")
    terminal = _terminal(folder, source)
    first, _ = _compile(terminal)
    nothing = _median(rounds, lambda: _compile(terminal)[0])
    bare = _median(rounds, lambda: _seconds(lambda: run(*_bare_line(terminal))))
    ninja = _median(rounds, lambda: _seconds(lambda: run(*_ninja(source))))
    edit = _median(rounds, lambda: _edited(terminal, source / _EDITED))
    wiped, said = _compile(terminal, "--clean")
    hits = re.search(r"(\d+ % of \d+ files) from the cache", said)
    return [
        Result("RocksDB: nothing changed", "its first build", SECONDS, nothing, first, None, _NOTE),
        Result("RocksDB: one edit", "its first build", SECONDS, edit, first, None, _NOTE),
        Result("RocksDB: wiped", "its first build", SECONDS, wiped, first, 0.2, hits[1] if hits else ""),
        Result("nothing changed, over ninja's own", "a second", SECONDS, nothing - ninja, 1.0, 1.0),
        Result("invoke compile, over docker run", "half a second", SECONDS, nothing - bare, 0.5, 1.0),
    ]


def _terminal(folder: Path, source: Path) -> Terminal:
    terminal = Terminal(folder)
    terminal.set(
        SOURCE_DIR=source,
        SHA1_OR_REF="",
        CONFIGURE_FLAGS=_FLAGS,
        INSTALL_HEADERS=True,  # with them the library itself, which is only for compiling too
        CCACHE_DIR=folder / "ccache",
        STATE_DIR=folder / "state",
    )
    return terminal


def _compile(terminal: Terminal, *words: str) -> tuple[float, str]:
    """The seconds of an `invoke compile` that goes well, and what it says."""
    started = time.perf_counter()
    done = terminal.invoke("compile", *words)
    if done.returncode:
        raise RuntimeError(f"invoke compile failed: {done.stderr[-2000:]}")
    took = time.perf_counter() - started
    console.say(f"invoke compile {' '.join(words)}: {took:.2f} s; {done.stderr.splitlines()[-1]}")
    return took, done.stderr


def _edited(terminal: Terminal, file: Path) -> float:
    with file.open("a") as text:
        name = f"edit_{time.time_ns()}"  # no compiler and no cache has seen this before
        text.write(f"extern int {name};\nint {name} = 1;\n")
    return _compile(terminal)[0]


def _bare_line(terminal: Terminal) -> list[str]:
    """The very `docker run` that `invoke compile` stands for."""
    done = subprocess.run(
        terminal.command("--dry", "compile"),
        cwd=terminal.folder,
        env=terminal.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    return shlex.split(done.stderr.splitlines()[-1])


def _ninja(source: Path) -> list[str]:
    mount = f"--volume={source}:/ceph"
    return ["docker", "run", "--rm", mount, "--workdir=/ceph/build", "cephbuilder/ceph:latest", "ninja"]


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _median(rounds: int, measure: Callable[[], float]) -> float:
    """After one unmeasured round."""
    measure()
    return statistics.median(measure() for _ in range(rounds))
