"""Checking: the tools of a real Ceph, and all its files, against the ways by hand."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from bench.contest import Contest, Result, hold
from bench.stage import docker, invoke
from cephtasks.contents import contents_of
from cephtasks.keys import CEPH_TOOLS
from cephtasks.store import Store
from cephtasks.tree import Kind
from lab import ceph
from lab.terminal import Terminal


def of_tools(folder: Path, rounds: int) -> list[Result]:
    """`invoke check` against a `docker run` for each tool, process start included in both."""
    contest = Contest(
        "check: all tools of a real Ceph",
        "docker run, one tool after the other",
        partial(_always, partial(invoke, _terminal(folder), "check", ceph.IMAGE)),
        partial(_always, _run_each),
        0.25,
    )
    return [hold(contest, rounds)]


def of_files(folder: Path, rounds: int) -> list[Result]:
    """`invoke check --deep` of an image that was read before, against `ldd -r` over the same files."""
    terminal = _terminal(folder)
    deep = partial(invoke, terminal, "check", ceph.IMAGE, "--deep")
    deep()  # layers are read once
    paths = _objects(Store(folder / "state" / "images"))
    contest = Contest(
        "check --deep: all files of a real Ceph",
        "ldd -r in one container",
        partial(_always, deep),
        partial(_always, partial(_ldd, paths)),
        5.0,
        f"{len(paths)} programs and libraries",
    )
    return [hold(contest, rounds)]


@contextmanager
def _always(work: Callable[[], object], number: int) -> Iterator[Callable[[], object]]:
    """A round that needs nothing before and leaves nothing."""
    yield work


def _terminal(folder: Path) -> Terminal:
    folder.mkdir(parents=True, exist_ok=True)
    terminal = Terminal(folder)
    terminal.set(STATE_DIR=folder / "state")
    return terminal


def _run_each() -> None:
    for tool in CEPH_TOOLS.split():
        docker("run", "--rm", "--network=none", f"--entrypoint={tool}", ceph.IMAGE, "--version")


def _objects(store: Store) -> Sequence[str]:
    """The paths of all programs and libraries of the image."""
    (name,) = store.names()
    with contents_of(store, store.require_image(name)) as contents:
        return [
            f"/{path}"
            for path, entry in contents.loader.files.items()
            if entry.kind is Kind.FILE and entry.sha256 in contents.needs
        ]


def _ldd(paths: Sequence[str]) -> None:
    script = 'for file; do ldd -r "$file"; done >/dev/null 2>&1; true'
    words = ("run", "--rm", "--network=none", "--entrypoint=sh", ceph.IMAGE, "-c", script, "sh")
    docker(*words, *paths)
