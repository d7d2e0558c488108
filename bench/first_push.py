"""First push: pack and push the whole tree from nothing."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from bench import flows
from bench.contest import Contest, Result, Round, hold
from bench.stage import BASE, Stage
from lab.registries import Registry

_WORK = "first pack and push of the whole tree"


def against_old_flow(stage: Stage, rounds: int) -> list[Result]:
    """Ours against run, commit, tag and push."""
    peer = partial(_container, stage, flows.commit_push)
    return _both(stage, "docker run, commit, tag, push", peer, 0.15, rounds)


def against_skopeo(stage: Stage, rounds: int) -> list[Result]:
    """Ours against run, commit and skopeo copy."""
    peer = partial(_container, stage, flows.commit_skopeo)
    against = "docker run, commit, skopeo copy docker-daemon:"
    return _both(stage, against, peer, 0.2, rounds)


def against_crane(stage: Stage, rounds: int) -> list[Result]:
    """Ours against tar and crane append, where there is crane."""
    if not flows.has_crane():
        return []
    return _both(stage, "tar, crane append", partial(_crane, stage), 0.4, rounds)


def _both(stage: Stage, against: str, peer: Round, reach: float, rounds: int) -> list[Result]:
    """Ours with the image in the engine at the end, and ours without."""
    ways = {"in the engine too": (), "LOAD_ON_DEMAND": ("--load-on-demand",)}
    return [
        hold(Contest(_WORK, against, partial(_ours, stage, options), peer, reach, note), rounds)
        for note, options in ways.items()
    ]


@contextmanager
def _ours(stage: Stage, options: Sequence[str], number: int) -> Iterator[Callable[[], object]]:
    with stage.registry() as registry, stage.terminal(registry) as terminal:
        os.sync()
        yield partial(flows.pack_push, terminal, stage.tree, *options)


@contextmanager
def _container(
    stage: Stage, work: Callable[[Registry, Path, str], None], number: int
) -> Iterator[Callable[[], object]]:
    with stage.registry() as registry, flows.container_name() as container:
        if work is flows.commit_skopeo:
            # It learns which blobs the registry has of the base, as the engine did by pulling it.
            flows.skopeo(f"{registry.host}/{BASE}", f"{registry.host}/known/{BASE}")
        os.sync()
        yield partial(work, registry, stage.tree, container)


@contextmanager
def _crane(stage: Stage, number: int) -> Iterator[Callable[[], object]]:
    tar = stage.folder / "tree.tar"
    with stage.registry() as registry:
        os.sync()
        yield partial(flows.crane_append, registry, stage.tree, tar)
    tar.unlink()
