"""Copying: from registry to registry, seen by another tool, and through failures."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cephtasks import platforms
from cephtasks.errors import (
    BlobDamaged,
    ImageNotInRegistry,
    ReferenceInvalid,
    RegistryRefused,
    RegistryUnauthorized,
)
from cephtasks.oci import DOCKER_INDEX, OCI_INDEX, Image, encode
from cephtasks.platforms import Platform
from cephtasks.reference import Reference, parse
from cephtasks.registry import Client, push
from cephtasks.registry.copying import Copied, copy
from cephtasks.registry.manifests import digest_at
from cephtasks.store import Store
from lab import registries
from lab.images import packed
from lab.indexes import put_index, put_manifest
from lab.registries import Registry
from lab.webs import Answer, Deed, Request, between

_PLATFORMS = [{"os": "linux", "architecture": "amd64"}, {"os": "linux", "architecture": "arm64"}]


@pytest.fixture
def origin(registry: str, request: pytest.FixtureRequest) -> Reference:
    """A name of this test alone in the registry that many share."""
    name = "".join(letter for letter in request.node.name if letter.isalnum()).lower()
    return parse(f"{registry}/copying/{name}:1")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """Another registry."""
    with registries.registry(tmp_path_factory.mktemp("other")) as started:
        yield started


@pytest.fixture
def target(other: Registry, origin: Reference) -> Reference:
    """A name in the other registry."""
    return parse(f"{other.host}/copied/{origin.repository}:new")


def _copy(origin: Reference, target: Reference, platform: Platform | None = None) -> Copied:
    with Client(origin.registry) as source, Client(target.registry) as sink:
        return copy(source, origin, sink, target, platform)


def _digest(reference: Reference) -> str | None:
    with Client(reference.registry) as client:
        return digest_at(client, reference)


def _pushed(reference: Reference, folder: Path, *layers: bytes) -> Image:
    store = Store(folder / "store")
    image = packed(store, reference.repository, [{"a": content} for content in layers])
    with Client(reference.registry) as client:
        push(client, reference, image, store.open)
    return image


def _skopeo(*words: str) -> bytes:
    return subprocess.run(["skopeo", *words], check=True, capture_output=True).stdout


@pytest.mark.parametrize("kind", [OCI_INDEX, DOCKER_INDEX])
def test_an_index_goes_with_all_that_it_names(
    origin: Reference, target: Reference, tmp_path: Path, kind: str
) -> None:
    """Another tool finds the same bytes under the new name, and every image and blob behind them whole."""
    images = put_index(origin, tmp_path, kind, _PLATFORMS)
    copied = _copy(origin, target)
    raw = [_skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{name}") for name in (origin, target)]
    assert raw[0] == raw[1]
    assert copied.by_digest == f"{target}@{_digest(origin)}"
    assert {blob.status for blob in copied.blobs} == {"uploaded"}
    assert len(copied.blobs) == 4
    folder = tmp_path / "witness"
    _skopeo("copy", "--all", "--src-tls-verify=false", f"docker://{target}", f"dir:{folder}")
    for image in images:
        assert (folder / image.layers[0].blob.digest.removeprefix("sha256:")).is_file()


def test_one_platform_of_an_index(origin: Reference, target: Reference, tmp_path: Path) -> None:
    """Its manifest gets the name, and nothing of the others is there."""
    images = put_index(origin, tmp_path, OCI_INDEX, _PLATFORMS)
    copied = _copy(origin, target, platforms.parse("linux/arm64"))
    assert copied.digest == _digest(target) == images[1].digest
    assert _digest(target.with_digest(images[0].digest)) is None
    with pytest.raises(ImageNotInRegistry, match="has no image for linux/s390x"):
        _copy(origin, target, platforms.parse("linux/s390x"))


def test_an_index_of_indexes(origin: Reference, target: Reference, tmp_path: Path) -> None:
    """What lies deepest goes first, also what is named on two levels."""
    images = put_index(origin, tmp_path, OCI_INDEX, _PLATFORMS)
    inner = {"mediaType": OCI_INDEX, "digest": _digest(origin), "size": 1}
    first = images[0]
    item = {"mediaType": first.media_type, "digest": first.digest, "size": len(first.manifest)}
    with Client(origin.registry) as client:
        outer = encode({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [item, inner]})
        put_manifest(client, replace(origin, tag="outer"), outer, OCI_INDEX)
    _copy(replace(origin, tag="outer"), target)
    assert _digest(target) == _digest(replace(origin, tag="outer"))
    for image in images:
        assert _digest(target.with_digest(image.digest)) == image.digest


def test_within_a_registry_blobs_are_mounted(origin: Reference, tmp_path: Path) -> None:
    """None of their bytes moves; once they are there, they are only found."""
    _pushed(origin, tmp_path, b"a", b"b")
    elsewhere = parse(f"{origin.name}-copy:1")
    assert {blob.status for blob in _copy(origin, elsewhere).blobs} == {"mounted"}
    again = _copy(origin, elsewhere)
    assert ({blob.status for blob in again.blobs}, again.uploaded_bytes) == ({"present"}, 0)
    assert _digest(elsewhere) == _digest(origin)


def test_after_a_failure_the_same_again_sends_the_rest(
    origin: Reference, target: Reference, tmp_path: Path
) -> None:
    """Until everything is there, the name means nothing."""
    image = _pushed(origin, tmp_path, b"a", b"b" * 100, b"c" * 1000)
    refused = image.config_blob.digest

    def meddle(request: Request) -> Deed | None:
        return Answer(403) if request.method == "PUT" and refused in request.path else None

    with between(target.registry, meddle) as web, pytest.raises(RegistryUnauthorized):
        _copy(origin, replace(target, registry=web.host))
    assert _digest(target) is None
    statuses = {blob.digest: blob.status for blob in _copy(origin, target).blobs}
    assert statuses[refused] == "uploaded"
    assert "present" in statuses.values()
    assert _digest(target) == image.digest


def test_a_source_that_cuts(origin: Reference, target: Reference, tmp_path: Path) -> None:
    """The blob goes on from where it was, and one upload takes it all."""
    image = _pushed(origin, tmp_path, os.urandom(600_000))
    cuts = [lambda answer: replace(answer, cut=200_000)]

    def meddle(request: Request) -> Callable[[Answer], Answer] | None:
        return cuts.pop() if cuts and image.layers[0].blob.digest in request.path else None

    with between(origin.registry, meddle) as web:
        copied = _copy(replace(origin, registry=web.host), target)
    assert (cuts, copied.digest) == ([], _digest(target))


def test_a_source_that_lies(origin: Reference, target: Reference, tmp_path: Path) -> None:
    """Other bytes than promised are an error, and neither blob nor name is written."""
    image = _pushed(origin, tmp_path, os.urandom(600_000))
    layer = image.layers[0].blob
    wrong = Answer(body=bytes(layer.size))
    with (
        between(origin.registry, lambda asked: wrong if layer.digest in asked.path else None) as web,
        pytest.raises(BlobDamaged, match=f"{web.host} sends other bytes for blob {layer.digest}"),
    ):
        _copy(replace(origin, registry=web.host), target)
    assert _digest(target) is None
    with Client(target.registry) as client, pytest.raises(RegistryRefused):
        client.send("HEAD", f"/v2/{target.repository}/blobs/{layer.digest}", "it")


def test_a_digest_of_something_else(origin: Reference, target: Reference, tmp_path: Path) -> None:
    """A target that names another digest is refused before anything is sent."""
    image = _pushed(origin, tmp_path, b"a")
    with pytest.raises(ReferenceInvalid):
        _copy(origin, target.with_digest(f"sha256:{'0' * 64}"))
    assert _digest(target) is None
    _copy(origin, target.with_digest(image.digest))
    assert _digest(target.with_digest(image.digest)) == image.digest


def test_a_dry_copy_shows_what_it_would_send(
    origin: Reference, target: Reference, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Children before the index, and nothing is there afterwards."""
    images = put_index(origin, tmp_path, OCI_INDEX, _PLATFORMS)
    with Client(origin.registry, dry=True) as source, Client(target.registry, dry=True) as sink:
        copied = copy(source, origin, sink, target)
    shown = capsys.readouterr().err
    puts = [line.rpartition("/")[2] for line in shown.splitlines() if "--upload-file=manifest.json" in line]
    assert sorted(puts[:2]) == sorted(image.digest for image in images)
    assert puts[2:] == ["new"]
    assert json.dumps(copied.document())
    assert _digest(target) is None
