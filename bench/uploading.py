"""Uploading: a gigabyte of blobs that are ready, by push and by curl, to the same registry."""

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import requests

from bench.contest import BYTES, SECONDS, Result
from bench.stage import run
from cephtasks import console
from cephtasks.oci import Image
from cephtasks.store import Store
from lab import registries
from lab.images import packed
from lab.registries import Registry
from lab.terminal import Terminal
from lab.usage import Usage, usage

_ALL = 1_000_000_000
_BOUND = 100_000_000
_BLOCK = 1_000_000
_AGAINST = "curl -T, blob after blob"


def of_ready_blobs(folder: Path, rounds: int) -> list[Result]:
    """How long it takes, and the most memory that push takes for it, in one layer and in four."""
    folder.mkdir()
    quarters = tuple(_noise(folder / str(number), _ALL // 4) for number in range(4))
    work = "upload of 1 GB of ready blobs"
    one, four = (_files(quarters),), tuple(_files([quarter]) for quarter in quarters)
    results = []
    for name, layers in (("one layer", one), ("four layers", four)):
        ours, peer = _held(folder / name.replace(" ", "-"), layers, rounds)
        medians = statistics.median(used.seconds for used in ours), statistics.median(peer)
        results.append(Result(f"{work}: {name}", _AGAINST, SECONDS, *medians, 1.0))
        peak = max(used.peak for used in ours)
        results.append(Result(f"{work}: {name}, memory", "100 MB", BYTES, peak, _BOUND, 1))
    return results


def _noise(path: Path, size: int) -> Path:
    """A file that cannot be compressed; never in our memory, which counts as that of who we start."""
    with path.open("wb") as sink:
        for _ in range(size // _BLOCK):
            sink.write(os.urandom(_BLOCK))
    return path


def _files(paths: Sequence[Path]) -> dict[str, bytes | Path]:
    return {path.name: path for path in paths}


def _held(
    folder: Path, layers: Sequence[Mapping[str, bytes | Path]], rounds: int
) -> tuple[list[Usage], list[float]]:
    """What push and curl take in turn, after one unmeasured round of each."""
    folder.mkdir()
    store = Store(folder / "state" / "images")
    image = packed(store, "ready/image", layers)
    terminal = Terminal(folder)
    ours, peer = [], []
    for number in range(rounds + 1):
        with _registry(folder) as registry:
            terminal.set(REGISTRY=registry.host, STATE_DIR=folder / "state")
            mine = usage(terminal, "push", "ready/image", "--to", f"{registry.host}/ready/image:latest")
        with _registry(folder) as registry:
            theirs = _seconds(partial(_curl, store, image, registry.host))
        console.say(f"{len(layers)} blobs, round {number}: {mine.seconds:.2f} s against {theirs:.2f} s")
        if number:
            ours.append(mine)
            peer.append(theirs)
    shutil.rmtree(folder)
    return ours, peer


@contextmanager
def _registry(folder: Path) -> Iterator[Registry]:
    """An empty registry, when what was written before is on the disk."""
    data = Path(tempfile.mkdtemp(dir=folder, prefix="registry-"))
    try:
        os.sync()
        with registries.registry(data) as started:
            yield started
    finally:
        shutil.rmtree(data)


def _curl(store: Store, image: Image, host: str) -> None:
    for blob in (image.config_blob, *(layer.blob for layer in image.layers)):
        begun = requests.post(f"http://{host}/v2/ready/image/blobs/uploads/", timeout=60)
        url = f"{begun.headers['Location']}&digest={blob.digest}"
        run("curl", "--silent", "--fail", "-T", str(store.path(blob.digest)), url)


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
