"""Manifests: what a tag means, read back from real registries and from odd ones."""

from collections.abc import Callable
from pathlib import Path

import pytest

from cephtasks.errors import RegistryRefused
from cephtasks.oci import DOCKER_MANIFEST, Image, digest_of, encode
from cephtasks.reference import Reference, parse
from cephtasks.registry import Client, manifests, push
from cephtasks.store import Store
from lab.images import packed
from lab.webs import Answer, Request, between


@pytest.fixture
def pushed(registry: str, tmp_path: Path, request: pytest.FixtureRequest) -> tuple[Reference, Image]:
    """An image that is in the registry, and its reference."""
    store = Store(tmp_path)
    image = packed(store, request.node.name, [{"a": b"a"}])
    reference = parse(f"{registry}/manifests/{digest_of(request.node.name.encode())[7:19]}:1")
    with Client(registry) as client:
        push(client, reference, image, store.open)
    return reference, image


def test_a_tags_digest(pushed: tuple[Reference, Image]) -> None:
    """It is that of the manifest that was put there, byte for byte."""
    reference, image = pushed
    with Client(reference.registry) as client:
        assert manifests.digest_at(client, reference) == image.digest
        assert manifests.digest_at(client, reference.with_digest(image.digest)) == image.digest


def test_a_tag_that_is_not_there(registry: str) -> None:
    """It names nothing, be the repository known or not."""
    with Client(registry) as client:
        assert manifests.digest_at(client, parse(f"{registry}/no/such:tag")) is None


def test_a_registry_that_tells_no_digest(pushed: tuple[Reference, Image]) -> None:
    """Then the manifest itself is hashed."""
    reference, image = pushed

    def meddle(request: Request) -> Callable[[Answer], Answer]:
        def without_digest(answer: Answer) -> Answer:
            kept = {name: value for name, value in answer.headers.items() if "Digest" not in name}
            return Answer(answer.status, kept, answer.body)

        return without_digest

    with between(reference.registry, meddle) as web, Client(web.host) as client:
        assert manifests.digest_at(client, reference) == image.digest
        assert [request.method for request in web.seen] == ["GET", "HEAD", "GET"]


def test_a_manifest_of_dockers_type_keeps_it(registry: str, tmp_path: Path) -> None:
    """The registry gets the bytes and the media type that the image has."""
    store = Store(tmp_path)
    small = packed(store, "small", [{"a": b"a"}])
    document = {
        "schemaVersion": 2,
        "mediaType": DOCKER_MANIFEST,
        "config": {
            **small.config_blob.document(),
            "mediaType": "application/vnd.docker.container.image.v1+json",
        },
        "layers": [
            {**item.blob.document(), "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip"}
            for item in small.layers
        ],
    }
    image = Image(encode(document), small.config)
    reference = parse(f"{registry}/manifests/docker:1")
    with Client(registry) as client:
        assert push(client, reference, image, store.open).digest == image.digest
        answer = client.send(
            "GET", "/v2/manifests/docker/manifests/1", "it", headers={"Accept": DOCKER_MANIFEST}
        )
    assert (answer.headers["Content-Type"], answer.content) == (DOCKER_MANIFEST, image.manifest)


def test_a_manifest_that_is_refused(pushed: tuple[Reference, Image]) -> None:
    """The registry's own words are told."""
    reference, image = pushed
    wrong = reference.with_digest(f"sha256:{'0' * 64}")
    with Client(reference.registry) as client, pytest.raises(RegistryRefused) as caught:
        manifests.put(client, wrong, image.manifest, image.media_type)
    assert caught.value.fact.startswith(f"{reference.registry} refuses {wrong}: DIGEST_INVALID: ")
