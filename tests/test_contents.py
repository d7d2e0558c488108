"""Contents, read out of the layers of images in a store."""

import struct
from pathlib import Path

import pytest

from cephtasks import elf, oci
from cephtasks.contents import contents_of
from cephtasks.errors import BlobDamaged, NothingMends
from cephtasks.store import Store
from lab.images import packed
from lab.programs import library, versioned
from lab.rootfs import TRIPLET

HOME = f"usr/lib/{TRIPLET}"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return Store(tmp_path / "images")


@pytest.fixture
def striper(tmp_path: Path) -> Path:
    """A library with versions that uses the C library."""
    source = "#include <stdlib.h>\nint st_old(void) {return rand();} int st_new(void) {return 2;}"
    versions = "V_1 {global: st_old; local: *;}; V_2 {global: st_new;} V_1;"
    return versioned(tmp_path / "libst.so.1", "libst.so.1", source, versions)


def test_objects_are_read_from_layers(store: Store, striper: Path) -> None:
    """Each is what it is as a file, and is found where the image has it."""
    image = packed(store, "lab", [{f"{HOME}/libst.so.1": striper.read_bytes(), "etc/motd": b"hello"}])
    with contents_of(store, image) as contents:
        loader = contents.loader
        assert loader.find("libst.so.1") == f"{HOME}/libst.so.1"
        assert loader.object_at(f"/{HOME}/libst.so.1") == elf.read(striper)
        assert len(loader.objects) == 1


def test_an_upper_layer_hides_a_lower_one(store: Store, striper: Path, tmp_path: Path) -> None:
    """What a container sees is what its loader finds."""
    new = library(tmp_path / "new.so", "libst.so.1", "int newest(void) {return 1;}")
    path = f"{HOME}/libst.so.1"
    image = packed(store, "lab", [{path: striper.read_bytes()}, {path: new.read_bytes()}])
    with contents_of(store, image) as contents:
        loader = contents.loader
        assert loader.object_at(path) == elf.read(new)


def test_a_layer_is_read_once(store: Store, striper: Path) -> None:
    """What was read is kept beside the store's indexes, so the blob is not opened again."""
    image = packed(store, "lab", [{f"{HOME}/libst.so.1": striper.read_bytes()}])
    with contents_of(store, image) as contents:
        loader = contents.loader
        first = dict(loader.objects)
    store.path(image.layers[0].blob.digest).unlink()
    with contents_of(store, image) as contents:
        loader = contents.loader
        assert dict(loader.objects) == first


def test_the_cache_of_the_image_counts(store: Store, striper: Path) -> None:
    """It leads to libraries outside of the folders where a loader looks untold."""
    texts = b"libst.so.1\0/opt/libst.so.1\0"
    entry = struct.pack("=iIIIQ", 0x303, 72, 83, 0, 0)
    cache = b"glibc-ld.so.cache1.1" + struct.pack("=II20x", 1, len(texts)) + entry + texts
    image = packed(store, "lab", [{"opt/libst.so.1": striper.read_bytes(), "etc/ld.so.cache": cache}])
    with contents_of(store, image) as contents:
        loader = contents.loader
        assert loader.find("libst.so.1") == "opt/libst.so.1"


def test_a_damaged_object_is_none(store: Store, striper: Path) -> None:
    """The file is there for the loader, which then fails of it."""
    image = packed(store, "lab", [{f"{HOME}/libst.so.1": striper.read_bytes()[:2000]}])
    with contents_of(store, image) as contents:
        loader = contents.loader
        assert loader.find("libst.so.1") == f"{HOME}/libst.so.1"
        assert loader.object_at(f"{HOME}/libst.so.1") is None


def test_a_damaged_layer_is_told(store: Store, striper: Path) -> None:
    """And nothing of it is kept."""
    image = packed(store, "lab", [{f"{HOME}/libst.so.1": striper.read_bytes()}])
    store.files(image)
    blob = store.path(image.layers[0].blob.digest)
    whole = blob.read_bytes()
    blob.write_bytes(whole[:200] + bytes([whole[200] ^ 0xFF]) + whole[201:])
    with pytest.raises(BlobDamaged), contents_of(store, image):
        raise AssertionError("a damaged layer was read")
    blob.write_bytes(whole)
    with contents_of(store, image) as contents:
        loader = contents.loader
        assert len(loader.objects) == 1


def test_an_unknown_architecture_is_told(store: Store) -> None:
    """Nothing is known of where its loader looks."""
    config = oci.encode({"architecture": "vax", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}})
    image = oci.image(config, [])
    with pytest.raises(NothingMends, match="architecture vax"), contents_of(store, image):
        raise AssertionError("a vax was looked into")
