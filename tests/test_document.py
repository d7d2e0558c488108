"""Documents: what manifests and indexes name, also where they say little or something odd."""

import json
from typing import Any

import pytest

from cephtasks.document import OTHER_SHAPE, Child, Document
from cephtasks.oci import DOCKER_INDEX, OCI_INDEX, OCI_LAYER_GZIP, OCI_MANIFEST, Descriptor, digest_of
from cephtasks.platforms import Platform

_A, _B = ({"mediaType": OCI_LAYER_GZIP, "digest": f"sha256:{digit * 64}", "size": 1} for digit in "ab")


def _document(sent_type: str = "", **content: Any) -> Document:
    return Document(json.dumps(content).encode(), sent_type)


def test_a_manifest() -> None:
    """It names its config and its layers, each once; its digest is that of its very bytes."""
    found = _document(config=_A, layers=[_B, _A, _B])
    assert not found.is_index
    assert found.blobs == (Descriptor.read(_A), Descriptor.read(_B))
    assert found.digest == digest_of(found.raw)
    assert found.children == ()


def test_layers_that_no_registry_keeps() -> None:
    """One with URLs of its own lies there, and nowhere else."""
    assert _document(config=_A, layers=[{**_B, "urls": ["https://example.com/b"]}]).layers == ()


def test_an_index() -> None:
    """It names manifests with their platforms, and no blobs; entries that name nothing are left out."""
    platform = {"os": "linux", "architecture": "arm64", "variant": "v8"}
    found = _document(manifests=[{**_A, "platform": platform}, _B, None, 5, {"digest": "sha512:1"}])
    here = Child(Descriptor.read(_A), Platform("linux", "arm64", "v8"))
    assert found.children == (here, Child(Descriptor.read(_B), None))
    assert (found.is_index, found.blobs) == (True, ())


@pytest.mark.parametrize(
    ("found", "media_type"),
    [
        (_document("sent/type", mediaType="own/type"), "own/type"),
        (_document("sent/type"), "sent/type"),
        (_document(manifests=[]), OCI_INDEX),
        (_document(DOCKER_INDEX, manifests=[]), DOCKER_INDEX),
        (_document(layers=[]), OCI_MANIFEST),
    ],
)
def test_a_media_type(found: Document, media_type: str) -> None:
    """What stands in a document counts, then how it was sent, then what it looks like."""
    assert found.media_type == media_type


@pytest.mark.parametrize("content", [{}, {"config": None}, {"config": _A, "layers": 5}, {"config": _A}])
def test_what_is_neither(content: dict[str, Any]) -> None:
    """It names no blobs."""
    with pytest.raises(OTHER_SHAPE):
        _ = _document(**content).blobs
