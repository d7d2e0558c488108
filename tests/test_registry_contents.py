"""Contents: what repositories hold, what it takes, and what is looked at more closely."""

import json
from pathlib import Path

import pytest

from cephtasks import platforms
from cephtasks.errors import ImageNotInRegistry
from cephtasks.oci import OCI_INDEX, encode
from cephtasks.platforms import Platform
from cephtasks.reference import Reference, parse
from cephtasks.registry import Client, push
from cephtasks.registry.contents import Contents, contents
from cephtasks.registry.inspection import Inspected, inspect
from cephtasks.registry.usage import usage
from cephtasks.store import Store
from lab.images import packed
from lab.indexes import put_index, put_manifest
from lab.registries import registry as started_registry
from lab.webs import Answer, between

_PLATFORMS = [{"os": "linux", "architecture": "amd64"}, {"os": "linux", "architecture": "arm64"}]


@pytest.fixture
def target(registry: str, request: pytest.FixtureRequest) -> Reference:
    """A repository of this test alone."""
    name = "".join(letter for letter in request.node.name if letter.isalnum()).lower()
    return parse(f"{registry}/contents/{name}:1")


def _contents(reference: Reference) -> Contents:
    with Client(reference.registry) as client:
        (found,) = contents(client, [reference.repository])
    return found


def _inspect(reference: Reference, platform: Platform | None = None, at: str = "") -> Inspected:
    with Client(at or reference.registry) as client:
        return inspect(client, reference, platform)


def test_tags_lead_to_manifests_and_indexes_to_more(target: Reference, tmp_path: Path) -> None:
    """Everything is there once, and its bytes are counted once, those of manifests too."""
    images = put_index(target, tmp_path, OCI_INDEX, _PLATFORMS)
    store = Store(tmp_path / "index")
    with Client(target.registry) as client:
        for tag in ("2", "3"):
            push(client, Reference(target.registry, target.repository, tag), images[0], store.open)
    found = _contents(target)
    assert list(found.tags) == ["1", "2", "3"]
    assert found.tags["2"] == found.tags["3"] == images[0].digest
    assert found.manifests.keys() == {found.tags["1"], *(image.digest for image in images)}
    blobs = {blob.digest: blob.size for image in images for blob in (image.config_blob, image.layers[0].blob)}
    raw = sum(len(document.raw) for document in found.manifests.values())
    assert found.bytes == sum(blobs.values()) + raw


def test_a_manifest_that_is_not_there(target: Reference, tmp_path: Path) -> None:
    """What an index names need not be in the repository, and a tag may be gone when it is looked at."""
    images = put_index(target, tmp_path, OCI_INDEX, _PLATFORMS)
    lost = f"/manifests/{images[1].digest}"
    with (
        between(target.registry, lambda asked: Answer(404) if asked.path.endswith(lost) else None) as web,
        Client(web.host) as client,
    ):
        (found,) = contents(client, [target.repository])
    assert found.manifests.keys() == {found.tags["1"], images[0].digest}
    with (
        between(target.registry, lambda asked: Answer(404) if "/manifests/" in asked.path else None) as web,
        Client(web.host) as client,
    ):
        (found,) = contents(client, [target.repository])
    assert (found.tags, found.bytes) == ({}, 0)


def test_shared_blobs_are_counted_once(tmp_path: Path) -> None:
    """Each repository is told what it has, and what of that others have too; the sum counts that once."""
    store = Store(tmp_path / "store")
    one, two = (
        packed(store, name, [{"base": b"x" * 5000}, {name: name.encode()}]) for name in ("one", "two")
    )
    with started_registry(tmp_path / "registry") as lab, Client(lab.host) as client:
        for name, image in (("a", one), ("b", one), ("c", two)):
            push(client, parse(f"{lab.host}/{name}:1"), image, store.open)
        found = usage(contents(client, ["a", "b", "c", "gone"]))
    base = one.layers[0].blob.size
    sizes = [
        len(image.manifest) + image.config_blob.size + sum(item.blob.size for item in image.layers)
        for image in (one, two)
    ]
    assert [vars(share) for share in found.shares] == [
        {"repository": "a", "tags": 1, "bytes": sizes[0], "shared_bytes": sizes[0]},
        {"repository": "b", "tags": 1, "bytes": sizes[0], "shared_bytes": sizes[0]},
        {"repository": "c", "tags": 1, "bytes": sizes[1], "shared_bytes": base},
        {"repository": "gone", "tags": 0, "bytes": 0, "shared_bytes": 0},
    ]
    assert found.bytes == sizes[0] + sizes[1] - base


def test_an_image_is_looked_at(target: Reference, tmp_path: Path) -> None:
    """Manifest, config and layers are there; also from a server that tells no digest."""
    store = Store(tmp_path)
    image = packed(store, "small", [{"a": b"a"}, {"b": b"b"}])
    with Client(target.registry) as client:
        push(client, target, image, store.open)

    def without_digest(answer: Answer) -> Answer:
        kept = {name: value for name, value in answer.headers.items() if "Digest" not in name}
        return Answer(answer.status, kept, answer.body)

    with between(target.registry, lambda _: without_digest) as web:
        found = _inspect(target, at=web.host)
    told = found.document()
    assert (told["digest"], told["manifest_digest"], told["index"]) == (image.digest, image.digest, None)
    assert (told["manifest"], told["config"]) == (json.loads(image.manifest), image.config_document)
    assert told["layers"] == [item.blob.document() for item in image.layers]


def test_of_an_index_the_wanted_manifest(target: Reference, tmp_path: Path) -> None:
    """The platform chooses; one that is not there is an error."""
    images = put_index(target, tmp_path, OCI_INDEX, _PLATFORMS)
    found = _inspect(target, platforms.parse("linux/arm64"))
    assert found.index is not None and found.manifest is not None
    assert (found.named, found.manifest.raw) == (found.index, images[1].manifest)
    with pytest.raises(ImageNotInRegistry, match="has no image for linux/s390x"):
        _inspect(target, platforms.parse("linux/s390x"))


def test_an_index_without_an_image_for_this_machine(target: Reference, tmp_path: Path) -> None:
    """Where no platform is asked for, the index is shown alone."""
    put_index(target, tmp_path, OCI_INDEX, [{"os": "linux", "architecture": "s390x"}])
    told = _inspect(target).document()
    assert (told["manifest"], told["config"], told["layers"], told["bytes"]) == (None, None, [], 0)
    assert told["index"]["manifests"][0]["platform"]["architecture"] == "s390x"


def test_what_is_kept_as_an_image_is(target: Reference, tmp_path: Path) -> None:
    """A config that is no JSON is left out; a manifest without layers is something else."""
    store = Store(tmp_path)
    image = packed(store, "small", [{"a": b"a"}])
    with Client(target.registry) as client:
        push(client, target, image, store.open)
        chart = image.layers[0].blob
        manifest = {**json.loads(image.manifest), "config": chart.document()}
        put_manifest(client, target, encode(manifest), image.media_type)
    assert _inspect(target).config is None
    odd = Answer(body=b"{}")
    with (
        between(target.registry, lambda asked: odd if "/manifests/" in asked.path else None) as web,
        pytest.raises(ImageNotInRegistry, match="is something else than an image"),
    ):
        _inspect(target, at=web.host)
