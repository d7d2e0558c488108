"""Again: pack and push once more, after an edit of one binary and after none."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median

from bench import flows
from bench.contest import BLOBS, REQUESTS, SECONDS, Contest, Result, hold, seconds
from bench.edits import edit
from bench.stage import Stage
from bench.traffic import watching
from lab.registries import Registry
from lab.terminal import Terminal

_BINARY = Path("usr/bin/ceph-osd")


def one_edit(stage: Stage, rounds: int) -> list[Result]:
    """Ours against the old flow, which copies and sends everything again, after an edit of ceph-osd."""
    with (
        stage.registry() as our_registry,
        stage.terminal(our_registry) as terminal,
        stage.registry() as their_registry,
    ):
        flows.pack_push(terminal, stage.tree)
        with flows.container_name() as container:
            flows.commit_push(their_registry, stage.tree, container)
        flows.forget_commit(their_registry)
        ours, peer = partial(_ours, stage, terminal), partial(_peer, stage, their_registry)
        work, against = "one changed ceph-osd, pack and push", "docker run, commit, tag, push"
        return [hold(Contest(work, against, ours, peer, 0.6), rounds)]


def nothing(stage: Stage, rounds: int) -> list[Result]:
    """The time of a second pack and push, and that it neither sends nor writes anything."""
    work, against = "nothing changed", "the first pack and push"
    with stage.registry() as registry, stage.terminal(registry) as terminal:

        @contextmanager
        def prepared(number: int) -> Iterator[Callable[[], object]]:
            os.sync()
            yield partial(flows.pack_push, terminal, stage.tree)

        before = _blobs(terminal)
        with watching(registry) as first:
            first_seconds = seconds(prepared, 0)
        between = _blobs(terminal)
        with watching(registry) as again:
            again_seconds = median(seconds(prepared, number) for number in range(rounds))
        written = _blobs(terminal) - between
    return [
        Result(f"{work}: time", against, SECONDS, again_seconds, first_seconds),
        Result(f"{work}: that send blobs", against, REQUESTS, again.sending_blobs, first.sending_blobs, 0),
        Result(f"{work}: written to the store", against, BLOBS, len(written), len(between - before), 0),
    ]


@contextmanager
def _ours(stage: Stage, terminal: Terminal, number: int) -> Iterator[Callable[[], object]]:
    edit(stage.tree / _BINARY)
    os.sync()
    yield partial(flows.pack_push, terminal, stage.tree)


@contextmanager
def _peer(stage: Stage, registry: Registry, number: int) -> Iterator[Callable[[], object]]:
    edit(stage.tree / _BINARY)
    with flows.container_name() as container:
        os.sync()
        yield partial(flows.commit_push, registry, stage.tree, container)
    flows.forget_commit(registry)


def _blobs(terminal: Terminal) -> frozenset[Path]:
    return frozenset((terminal.folder / "state" / "images" / "blobs").glob("sha256/*"))
