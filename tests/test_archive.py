"""Archives: what a real engine saves is read, what is written it loads."""

import gzip
import io
import json
import subprocess
import tarfile
from collections.abc import Iterator, Sequence

import docker
import pytest

from cephtasks import archive, layer, oci
from cephtasks.engine import Engine
from cephtasks.errors import ArchiveBroken, BlobDamaged, EngineRefused
from cephtasks.oci import OCI_LAYER_GZIP, Descriptor, Image, Layer
from lab.layers import archived, file, folder, image_of, load, seen_by_container, tar


def compressed_image(*tars: bytes) -> tuple[Image, dict[str, bytes]]:
    """An image of gzip layers, bottom first, as the store keeps them, and its blobs."""
    layers, blobs = [], {}
    for raw in tars:
        sink = io.BytesIO()
        made = layer.compress([raw], sink, "gzip")
        layers.append(made)
        blobs[made.blob.digest] = sink.getvalue()
    document = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Entrypoint": ["/bin/none"], "Labels": {"made": "by a test"}},
        "rootfs": {"type": "layers", "diff_ids": [item.diff_id for item in layers]},
    }
    return oci.image(oci.encode(document), layers), blobs


def packed(image: Image, name: str, present: Sequence[str], blobs: dict[str, bytes]) -> bytes:
    """The archive of an image."""
    return b"".join(archived(image, name, present, blobs))


def names(raw: bytes) -> list[str]:
    """The names in an archive."""
    with tarfile.open(fileobj=io.BytesIO(raw)) as opened:
        return opened.getnames()


@pytest.fixture
def saved(engine: Engine, image_name: str) -> Iterator[tuple[str, list[bytes], bytes]]:
    """An image in the engine: its id, the tars of its layers, and what `docker save` writes of it."""
    tars = [tar(folder("a"), file("a/one", b"1" * 2_000_000)), tar(file("a/two", b"2")), tar()]
    image, blobs = compressed_image(*tars)
    load(engine, image, blobs, f"{image_name}:saved")
    yield image.id, tars, b"".join(engine.save(f"{image_name}:saved"))


def test_an_engine_loads_what_was_packed(engine: Engine, image_name: str) -> None:
    """The id is the one that was computed, the config is kept, and a container sees the layers."""
    below, above = tar(folder("a"), file("a/one", b"1")), tar(folder("a"), file("a/.wh.one"), file("a/two"))
    image, blobs = compressed_image(below, above)
    engine.load([packed(image, f"{image_name}:x", (), blobs)])
    found = engine.image(f"{image_name}:x")
    assert found is not None
    assert (found.id, found.diff_ids) == (image.id, image.diff_ids)
    assert found.entrypoint == ("/bin/none",)
    assert set(seen_by_container(f"{image_name}:x")) == {"a", "a/two"}


def test_layers_that_the_engine_has_are_left_out(engine: Engine, image_name: str) -> None:
    """An archive with the new layer alone gives the same image, and holds nothing of the old."""
    old, new = tar(file("old", b"o" * 1_000_000)), tar(file("new", b"n"))
    base, blobs = compressed_image(old)
    load(engine, base, blobs, f"{image_name}:base")
    image, blobs = compressed_image(old, new)
    raw = packed(image, f"{image_name}:x", base.diff_ids, blobs)
    assert names(raw) == ["1.tar", f"{image.id.removeprefix('sha256:')}.json", "manifest.json"]
    engine.load([raw])
    found = engine.image(f"{image_name}:x")
    assert found is not None
    assert found.id == image.id
    assert set(seen_by_container(f"{image_name}:x")) == {"old", "new"}


def test_an_engine_that_lacks_a_layer_refuses_the_archive(engine: Engine, image_name: str) -> None:
    """Leaving out too much is an error of the load, never an image with a hole."""
    image, blobs = compressed_image(tar(file("only here", image_name.encode())), tar(file("new")))
    with pytest.raises(EngineRefused):
        engine.load([packed(image, f"{image_name}:x", image.diff_ids[:1], blobs)])
    assert engine.image(f"{image_name}:x") is None


def test_a_layer_that_stands_twice_is_sent_once(engine: Engine, image_name: str) -> None:
    """An image may hold the same layer at two places of its stack."""
    one, two = tar(file("f", b"1")), tar(file("f", b"2"))
    image, blobs = compressed_image(one, two, one)
    raw = packed(image, f"{image_name}:x", (), blobs)
    assert len(names(raw)) == 4
    engine.load([raw])
    assert seen_by_container(f"{image_name}:x")["f"].size == 1
    found = engine.image(f"{image_name}:x")
    assert found is not None
    assert found.id == image.id


def test_gnu_tar_finds_nothing_wrong_with_an_archive() -> None:
    """The archive is a tar that ends as tars do."""
    image, blobs = image_of([tar(file("f", b"x" * 513))])
    raw = packed(image, "x:y", (), blobs)
    done = subprocess.run(["tar", "-tf", "-"], input=raw, check=True, capture_output=True)
    assert (done.stdout.decode().split(), done.stderr) == (names(raw), b"")
    assert len(raw) % 512 == 0


@pytest.mark.parametrize("change", ["shorter", "longer", "empty", "altered"])
@pytest.mark.parametrize("compressed", [True, False])
def test_a_damaged_blob_is_never_sent_as_if_it_were_whole(compressed: bool, change: str) -> None:
    """What follows it would be taken for something else."""
    raw = tar(file("f", bytes(5000)))
    image, blobs = compressed_image(raw) if compressed else image_of([raw])
    ((digest, blob),) = blobs.items()
    changed = {"shorter": blob[:-1], "longer": blob + blob, "empty": b"", "altered": b"\x1f" + blob[::-1]}
    blobs[digest] = changed[change]
    with pytest.raises(BlobDamaged):
        packed(image, "x:y", (), blobs)


def test_an_engine_gets_layers_that_it_need_not_decompress(engine: Engine, image_name: str) -> None:
    """Layers of ours are sent as plain tars, zstd ones too, which old engines do not know."""
    raw = tar(file("f", b"x" * 100_000))
    for compression in ("gzip", "zstd"):
        sink = io.BytesIO()
        made = layer.compress([raw], sink, compression)
        document = {"architecture": "amd64", "os": "linux", "rootfs": {"diff_ids": [made.diff_id]}}
        image = oci.image(oci.encode({**document, "author": compression}), [made])
        assert layer.tar_size(image.layers[0]) == len(raw)
        written = packed(image, f"{image_name}:{compression}", (), {made.blob.digest: sink.getvalue()})
        assert raw in written
        engine.load([written])
        found = engine.image(f"{image_name}:{compression}")
        assert found is not None
        assert found.id == image.id


def test_a_layer_of_somebody_else_is_sent_as_it_is() -> None:
    """Nobody wrote down how long its tar is, and the engine can decompress it."""
    raw = tar(file("f", b"x" * 100_000))
    blob = gzip.compress(raw)
    foreign = Layer(Descriptor(OCI_LAYER_GZIP, oci.digest_of(blob), len(blob)), oci.digest_of(raw))
    image = oci.image(oci.encode({"rootfs": {"diff_ids": [foreign.diff_id]}}), [foreign])
    assert layer.tar_size(foreign) is None
    assert blob in packed(image, "x:y", (), {foreign.blob.digest: blob})


def test_blobs_are_opened_one_at_a_time_and_closed() -> None:
    """An image of many layers needs one open file."""
    image, blobs = compressed_image(*(tar(file("f", bytes([number]))) for number in range(5)))
    opened: list[io.BytesIO] = []

    def open_blob(digest: str) -> io.BytesIO:
        assert all(stream.closed for stream in opened)
        opened.append(io.BytesIO(blobs[digest]))
        return opened[-1]

    for _ in archive.loadable(archive.stored(image.layers, (), open_blob), "x:y", lambda: image):
        pass
    assert len(opened) == 5
    assert opened[-1].closed


def test_what_an_engine_saves_is_told_apart(saved: tuple[str, list[bytes], bytes]) -> None:
    """Config and layers are found by their digests, whatever the engine calls its files."""
    image_id, tars, raw = saved
    contents = [content.read() for content in archive.members(io.BytesIO(raw))]
    documents = [content for content in contents if archive.is_document(content)]
    layers = [content for content in contents if archive.is_tar(content)]
    assert {oci.digest_of(content) for content in layers} >= {oci.digest_of(made) for made in tars}
    config = archive.config_of(documents, image_id)
    assert config is not None
    assert json.loads(config)["config"]["Labels"] == {"made": "by a test"}
    assert archive.config_of(documents, "sha256:" + "0" * 64) is None


def test_an_image_that_was_saved_can_be_loaded_again(
    engine: Engine, image_name: str, saved: tuple[str, list[bytes], bytes]
) -> None:
    """Out of the engine and into it again: the same image under the same id."""
    image_id, _, raw = saved
    documents, layers = [], {}
    for content in (stream.read() for stream in archive.members(io.BytesIO(raw))):
        if archive.is_document(content):
            documents.append(content)
        elif archive.is_tar(content):
            layers[oci.digest_of(content)] = content
    config = archive.config_of(documents, image_id)
    assert config is not None
    image = oci.image(
        config,
        [
            Layer(Descriptor(OCI_LAYER_GZIP, diff_id, len(layers[diff_id])), diff_id)
            for diff_id in json.loads(config)["rootfs"]["diff_ids"]
        ],
    )
    assert image.id == image_id
    client = docker.from_env()
    try:
        client.images.remove(f"{image_name}:saved", force=True)
    finally:
        client.close()
    load(engine, image, layers, f"{image_name}:again")
    found = engine.image(f"{image_name}:again")
    assert found is not None
    assert found.id == image_id


@pytest.mark.parametrize("kept", [1_500_000, 700])
def test_an_archive_that_ends_too_soon_is_told(saved: tuple[str, list[bytes], bytes], kept: int) -> None:
    """An engine writes its error into the middle of what it saves; half a layer is never taken for one."""
    raw = saved[2][:kept] + b'{"errorDetail":{"message":"no space left on device"}}'
    with pytest.raises(ArchiveBroken, match="no whole archive"):
        for content in archive.members(io.BytesIO(raw)):
            while content.read(1 << 16):
                pass


def test_what_is_no_archive_is_told() -> None:
    """Anything but a tar is refused at once."""
    with pytest.raises(ArchiveBroken):
        list(archive.members(io.BytesIO(b"<html>" * 200)))
