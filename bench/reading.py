"""Reading: a registry's catalog, from a cold start, and with the tags of ten thousand repositories."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median

from bench.contest import SECONDS, Contest, Result, hold, seconds
from bench.stage import invoke, run
from cephtasks.oci import OCI_CONFIG, OCI_MANIFEST, Descriptor, digest_of, encode
from lab import registries
from lab.registries import Registry
from lab.terminal import Terminal

_MANY = 10_000
_SAMPLE = 50  # repositories whose tags the peer lists, one after the other
_FEW = 3


def of_cold_start(folder: Path, rounds: int) -> list[Result]:
    """`invoke catalog` against what it replaces, with the python3 that is first in PATH."""
    peer = "curl --silent http://{}/v2/_catalog | python3 -m json.tool"
    with _registry(folder, _FEW) as registry:
        terminal = _terminal(folder, registry)
        contest = Contest(
            "invoke catalog, cold start",
            "curl | python3 -m json.tool",
            partial(_always, partial(invoke, terminal, "catalog")),
            partial(_always, partial(run, "bash", "-c", peer.format(registry.host))),
            2.0,
            f"python3 is {shutil.which('python3')}",
        )
        return [hold(contest, rounds)]


def of_ten_thousand(folder: Path, rounds: int) -> list[Result]:
    """`invoke catalog --tags` against as many calls of skopeo, of which a sample is timed and scaled."""
    with _registry(folder, _MANY) as registry:
        terminal = _terminal(folder, registry)
        catalog = partial(_always, partial(invoke, terminal, "catalog", "--tags"))
        sample = partial(_always, partial(_list_tags, registry))
        ours = median(seconds(catalog, number) for number in range(rounds))
        peer = median(seconds(sample, number) for number in range(rounds)) * _MANY / _SAMPLE
    note = f"skopeo timed on {_SAMPLE} and scaled"
    work, against = f"{_MANY:,} repositories with tags", "skopeo list-tags, one after the other"
    return [Result(work, against, SECONDS, ours, peer, 1 / 3, note)]


@contextmanager
def _always(work: Callable[[], object], number: int) -> Iterator[Callable[[], object]]:
    """A round that needs nothing before and leaves nothing."""
    yield work


def _terminal(folder: Path, registry: Registry) -> Terminal:
    terminal = Terminal(folder)
    terminal.set(REGISTRY=registry.host, STATE_DIR=folder / "state")
    return terminal


def _list_tags(registry: Registry) -> None:
    for number in range(_SAMPLE):
        name = f"docker://{registry.host}/{_name(number * (_MANY // _SAMPLE))}"
        found = json.loads(run("skopeo", "list-tags", "--tls-verify=false", name))
        if found["Tags"] != ["latest"]:
            raise RuntimeError(f"{name} has other tags than were laid out: {found}")


@contextmanager
def _registry(folder: Path, count: int) -> Iterator[Registry]:
    """A registry with so many repositories of one tag each, laid out as it keeps them itself."""
    storage = folder / "data" / "docker" / "registry" / "v2"
    config = encode({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}})
    described = Descriptor(OCI_CONFIG, digest_of(config), len(config)).document()
    manifest = encode({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": described, "layers": []})
    for raw in (config, manifest):
        digits = digest_of(raw).removeprefix("sha256:")
        _write(storage / "blobs" / "sha256" / digits[:2] / digits / "data", raw)
    for number in range(count):
        repository = storage / "repositories" / _name(number)
        _link(repository / "_layers", config)
        _link(repository / "_manifests" / "revisions", manifest)
        _link(repository / "_manifests" / "tags" / "latest" / "index", manifest)
        _write(repository / "_manifests/tags/latest/current/link", digest_of(manifest).encode())
    with registries.registry(folder) as started:
        yield started


def _name(number: int) -> str:
    return f"team{number // 100:03}/app-{number:05}"


def _link(place: Path, raw: bytes) -> None:
    digest = digest_of(raw)
    _write(place / "sha256" / digest.removeprefix("sha256:") / "link", digest.encode())


def _write(path: Path, raw: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(raw)
