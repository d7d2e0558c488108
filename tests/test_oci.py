"""OCI: documents whose bytes and digests never change by themselves."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cephtasks import oci
from cephtasks.engine import Engine
from cephtasks.oci import Appended, Descriptor, Image, Layer
from lab.layers import file, image_of, load, tar

A, B, C = (f"sha256:{letter * 64}" for letter in "abc")
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(blacklist_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("aäß"), inner, max_size=3),
)

NOON = "2024-05-06T07:08:09Z"


def layer_of(digest: str, diff_id: str) -> Layer:
    """A layer of ten bytes."""
    return Layer(Descriptor(oci.OCI_LAYER_GZIP, digest, 10), diff_id)


def base(**document: Any) -> Image:
    """An image of one layer."""
    config = {"rootfs": {"type": "layers", "diff_ids": [A]}, **document}
    return oci.image(oci.encode(config), [layer_of(B, A)])


@settings(deadline=None)
@given(st.dictionaries(st.text("abcä"), json_values))
def test_one_document_has_one_byte_sequence(document: dict[str, Any]) -> None:
    """The order of keys does not matter, and what was written is read back."""
    raw = oci.encode(document)
    assert oci.encode(dict(reversed(document.items()))) == raw
    assert json.loads(raw) == document


def test_documents_are_short_and_utf8() -> None:
    """No white space, and letters as they are."""
    assert oci.encode({"b": [1, "ä"], "a": None}) == '{"a":null,"b":[1,"ä"]}'.encode()


def test_a_digest_is_known_by_its_form() -> None:
    """A known digest of known bytes; nothing else may name a blob."""
    empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert oci.digest_of(b"") == empty
    assert oci.is_digest(empty)
    for text in (
        empty[:-1],
        empty.upper(),
        f"{empty}\n",
        f"sha512:{'a' * 128}",
        "sha256:../../../etc/passwd",
    ):
        assert not oci.is_digest(text)


@settings(deadline=None)
@given(st.integers(0, 2**50), st.dictionaries(st.text(), st.text(), max_size=3))
def test_a_descriptor_survives_being_written_and_read(size: int, annotations: dict[str, str]) -> None:
    """What stands in a manifest gives back the same descriptor."""
    descriptor = Descriptor(oci.OCI_LAYER_ZSTD, A, size, annotations)
    assert Descriptor.read(json.loads(oci.encode(descriptor.document()))) == descriptor
    assert ("annotations" in descriptor.document()) == bool(annotations)


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"mediaType": "x", "digest": A},
        {"mediaType": "x", "size": 1},
        {"mediaType": "x", "digest": A, "size": None},
        {"mediaType": "x", "digest": A, "size": -1},
        {"mediaType": "x", "digest": A, "size": "many"},
        {"mediaType": "x", "digest": "sha256:../../../../etc/passwd", "size": 1},
        {"mediaType": "x", "digest": "/etc/passwd", "size": 1},
        {"mediaType": "x", "digest": A, "size": 1, "annotations": [1]},
    ],
)
def test_what_names_no_blob_is_refused(document: dict[str, Any]) -> None:
    """A registry's answer never makes a path of its own choosing."""
    with pytest.raises((KeyError, TypeError, ValueError)):
        Descriptor.read(document)


def test_an_image_names_its_parts_by_digest() -> None:
    """The id is the config's digest, the digest the manifest's; layers pair blobs and diff ids."""
    image = base(config={"Labels": {"a": "b"}})
    assert image.id == oci.digest_of(image.config) == image.config_blob.digest
    assert image.digest == oci.digest_of(image.manifest)
    assert image.media_type == oci.OCI_MANIFEST
    assert image.config_blob.size == len(image.config)
    assert image.layers == (layer_of(B, A),)
    assert image.diff_ids == (A,)
    assert image.labels == {"a": "b"}


@pytest.mark.parametrize("config", [{}, {"config": {}}, {"config": {"Labels": None}}])
def test_an_image_may_have_no_labels(config: dict[str, Any]) -> None:
    """Configs of engines leave them out, or say null."""
    assert base(**config).labels == {}


def test_a_manifest_that_does_not_fit_its_config_is_refused() -> None:
    """As many layers as diff ids, or it is no image."""
    image = oci.image(oci.encode({"rootfs": {"diff_ids": [A]}}), [layer_of(B, A), layer_of(C, C)])
    with pytest.raises(ValueError, match="zip"):
        _ = image.layers


def test_a_foreign_image_keeps_its_bytes() -> None:
    """White space and order of somebody else's documents stay, and so do their digests."""
    manifest = b'{ "schemaVersion": 2, "layers": [], "config": {"size": 2, "digest": "x"} }'
    config = b'{\n  "rootfs": {"diff_ids": []}}'
    image = Image(manifest, config)
    assert (image.digest, image.id) == (oci.digest_of(manifest), oci.digest_of(config))


def test_a_layer_on_top_inherits_everything_below() -> None:
    """Entrypoint, environment and unknown keys stay; labels and history grow."""
    below = base(
        config={"Entrypoint": ["/entrypoint.sh"], "Env": ["A=b"], "Labels": {"old": "1", "both": "1"}},
        history=[{"created_by": "base"}],
        architecture="arm64",
        variant="v8",
        author="somebody",
    )
    above = oci.append(
        below,
        [Appended(layer_of(C, B), "files", NOON)],
        NOON,
        {"new": "2", "both": "2"},
    )
    document = above.config_document
    assert document["config"] == {
        "Entrypoint": ["/entrypoint.sh"],
        "Env": ["A=b"],
        "Labels": {"old": "1", "both": "2", "new": "2"},
    }
    assert [document[name] for name in ("architecture", "variant", "author")] == ["arm64", "v8", "somebody"]
    assert document["created"] == NOON
    assert document["history"] == [
        {"created_by": "base"},
        {"created": NOON, "created_by": "cephtasks", "comment": "files"},
    ]
    assert above.layers == (layer_of(B, A), layer_of(C, B))


def test_the_image_below_is_not_touched() -> None:
    """Appending makes a new image and leaves the old one."""
    below = base(config={"Labels": {"old": "1"}}, history=[])
    before = json.loads(below.config)
    oci.append(
        below,
        [Appended(layer_of(C, B), "files", NOON)],
        NOON,
        {"new": "2"},
    )
    assert below.config_document == before


def test_what_an_engine_noted_of_a_container_is_dropped() -> None:
    """The container that a base was committed from says nothing about this image."""
    below = base(container="x", container_config={"Cmd": ["x"]}, docker_version="20", parent="y", id="z")
    document = oci.append(below, [], NOON, {}).config_document
    assert document.keys() == {"rootfs", "created", "config", "history"}


def test_the_same_append_gives_the_same_image() -> None:
    """Nothing but what was given goes into it."""
    arguments = (
        base(),
        [Appended(layer_of(C, B), "files", NOON)],
        NOON,
        {"a": "b"},
    )
    assert oci.append(*arguments) == oci.append(*arguments)


def test_chain_ids_follow_the_specification() -> None:
    """Each is the digest of the one below and its own diff id (config.md, Layer ChainID)."""
    ab = oci.digest_of(f"{A} {B}".encode())
    assert oci.chain_ids([]) == []
    assert oci.chain_ids([A]) == [A]
    assert oci.chain_ids([A, B, C]) == [A, ab, oci.digest_of(f"{ab} {C}".encode())]


def test_an_engine_knows_the_image_by_the_same_id(engine: Engine, image_name: str) -> None:
    """What was computed here is what `docker image ls` shows, labels and history included."""
    lower, upper = (tar(file(name)) for name in ("a", "b"))
    below, blobs = image_of([lower])
    digest = oci.digest_of(upper)
    made = Layer(Descriptor(oci.OCI_LAYER_GZIP, digest, len(upper)), digest)
    image = oci.append(below, [Appended(made, "ä comment", NOON)], NOON, {"label": "ü"})
    load(engine, image, {**blobs, digest: upper}, f"{image_name}:x")
    found = engine.image(f"{image_name}:x")
    assert found is not None
    assert (found.id, found.diff_ids) == (image.id, image.diff_ids)


def test_layers_above_a_base_are_put_on_it_again() -> None:
    """Taken off with their lines of history and put back, they make the same image."""
    made = oci.append(base(), [Appended(layer_of(C, B), "files", NOON)], NOON, {})
    again = oci.append(base(), oci.above(made, len(base().layers)), NOON, {})
    assert again == made


@pytest.mark.parametrize(
    ("docker", "other"),
    [
        ("application/vnd.docker.image.rootfs.diff.tar", oci.OCI_LAYER),
        ("application/vnd.docker.image.rootfs.diff.tar.gzip", oci.OCI_LAYER_GZIP),
        ("application/vnd.docker.image.rootfs.diff.tar.zstd", oci.OCI_LAYER_ZSTD),
        ("application/x-of-somebody", "application/x-of-somebody"),
    ],
)
def test_layers_of_docker_have_another_name_in_an_oci_manifest(docker: str, other: str) -> None:
    """Digest, size and diff id stay; what neither knows keeps its name."""
    made = oci.image(base().config, [Layer(Descriptor(docker, B, 10), A)])
    assert made.layers == (Layer(Descriptor(other, B, 10), A),)


@pytest.mark.parametrize("config", [None, {}, {"Labels": None}])
def test_an_image_without_labels(config: Any) -> None:
    """There are none, however the config says so."""
    assert base(config=config).labels == {}
