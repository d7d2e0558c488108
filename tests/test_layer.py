"""Layers: the same entries give the same bytes, and everybody can read them."""

import gzip
import hashlib
import io
import itertools
import os
import stat
import subprocess
import tarfile
import threading
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from cephtasks import layer, oci
from cephtasks.engine import Engine
from cephtasks.errors import TreeChanged, TreeInvalid
from cephtasks.folder import index_folder
from cephtasks.oci import OCI_LAYER_GZIP, OCI_LAYER_ZSTD, Layer
from cephtasks.tree import Entry, Kind, index_tar
from lab.layers import load, seen_by_container

MB = 1 << 20
LONG = "d/" * 60 + "x" * 150
ODD = os.fsdecode(b"odd\xff\xfename")
FOREIGN = "ümlaut-日本"


@pytest.fixture
def install(tmp_path: Path) -> Path:
    """An install tree with everything in it that has ever been lost on the way."""
    folder = tmp_path / "install"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "sudo").write_bytes(b"\x7fELF" + os.urandom(3000))
    (folder / "bin" / "sudo").chmod(0o4755)
    (folder / "bin" / "su").hardlink_to(folder / "bin" / "sudo")
    (folder / "bin" / "wall").write_bytes(b"group")
    (folder / "bin" / "wall").chmod(0o2711)
    (folder / "closed").mkdir(mode=0o700)
    (folder / "tmp").mkdir()
    (folder / "tmp").chmod(0o1777)
    (folder / "nothing").touch(mode=0o600)
    (folder / "lib").symlink_to("usr/lib")
    (folder / "far").symlink_to("/" + "t" * 200)
    (folder / LONG).parent.mkdir(parents=True)
    (folder / LONG).write_bytes(b"long")
    (folder / ODD).write_bytes(b"odd")
    (folder / FOREIGN).write_bytes(b"foreign")
    (folder / "big").write_bytes(os.urandom(3 * MB + 17))
    (folder / "aligned").write_bytes(bytes(2 * MB))
    return folder


def pack(folder: Path, compression: str = "gzip", entries: list[Entry] | None = None) -> tuple[Layer, bytes]:
    """A layer of a folder, and its blob."""
    sink = io.BytesIO()
    chosen = list(index_folder(folder).values()) if entries is None else entries
    made = layer.write(chosen, lambda entry: (folder / entry.path).open("rb"), sink, compression)
    return made, sink.getvalue()


def unpacked(blob: bytes) -> bytes:
    """The tar inside a blob."""
    return layer.decompressed(io.BytesIO(blob)).read()


def shown(path: Path) -> dict[str, tuple[object, ...]]:
    """What a folder on disk holds, as far as a layer can tell it."""
    found: dict[str, tuple[object, ...]] = {}
    for item in path.rglob("*"):
        status = item.lstat()
        content = item.readlink() if item.is_symlink() else item.read_bytes() if item.is_file() else None
        links = status.st_nlink if stat.S_ISREG(status.st_mode) else 0
        found[str(item.relative_to(path))] = (oct(status.st_mode), links, content)
    return found


@pytest.mark.parametrize(("compression", "media_type"), [("gzip", OCI_LAYER_GZIP), ("zstd", OCI_LAYER_ZSTD)])
def test_digests_and_size_are_those_of_the_bytes(install: Path, compression: str, media_type: str) -> None:
    """The descriptor is of the blob, the diff id of the tar inside it."""
    made, blob = pack(install, compression)
    assert made.blob.media_type == media_type
    assert (made.blob.digest, made.blob.size) == (oci.digest_of(blob), len(blob))
    assert made.diff_id == oci.digest_of(unpacked(blob))


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_the_same_tree_gives_the_same_bytes(install: Path, compression: str) -> None:
    """Times, owners and what a file system calls first leave no trace."""
    made, blob = pack(install, compression)
    for path in install.rglob("*"):
        os.utime(path, (1, 1), follow_symlinks=False)
    (install / "bin" / "wall").unlink()
    (install / "bin" / "wall").write_bytes(b"group")
    (install / "bin" / "wall").chmod(0o2711)
    assert pack(install, compression) == (made, blob)


def test_everything_has_one_time_and_no_names() -> None:
    """Users are numbers, and every time is the same, in the far past."""
    sink = io.BytesIO()
    entries = [Entry("a", Kind.FOLDER, uid=5, gid=6), Entry("b", Kind.SYMLINK, target="a")]
    layer.write(entries, _never, sink, "gzip")
    with tarfile.open(fileobj=io.BytesIO(unpacked(sink.getvalue()))) as tar:
        members = tar.getmembers()
    assert {member.mtime for member in members} == {315532800}
    assert {(member.uname, member.gname) for member in members} == {("", "")}
    assert (members[0].uid, members[0].gid) == (5, 6)


def test_other_programs_read_the_compression(install: Path) -> None:
    """gzip's and zstd's own readers give the tar, checksums and all."""
    made, blob = pack(install, "gzip")
    assert oci.digest_of(gzip.decompress(blob)) == made.diff_id
    made, blob = pack(install, "zstd")
    with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(blob)) as reader:
        assert oci.digest_of(reader.read()) == made.diff_id


def test_gnu_tar_unpacks_what_was_packed(install: Path, tmp_path: Path) -> None:
    """Modes, setuid, links, long names and names that are no text arrive as they were."""
    _, blob = pack(install)
    (tmp_path / "out").mkdir()
    subprocess.run(["tar", "-xpzf", "-", "-C", tmp_path / "out"], input=blob, check=True, capture_output=True)
    assert shown(tmp_path / "out") == shown(install)


def test_python_reads_what_was_packed(install: Path) -> None:
    """The index of the tar is the index of the folder."""
    _, blob = pack(install)
    assert {entry.path: entry for entry in index_tar(io.BytesIO(unpacked(blob)))} == index_folder(install)


def test_an_engine_unpacks_what_was_packed(install: Path, engine: Engine, image_name: str) -> None:
    """A container sees the install tree, entry by entry."""
    made, blob = pack(install)
    document = {
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [made.diff_id]},
    }
    image = oci.image(oci.encode(document), [made])
    load(engine, image, {made.blob.digest: blob}, f"{image_name}:tree")
    assert _one_file(seen_by_container(f"{image_name}:tree")) == _one_file(index_folder(install))


def _one_file(index: dict[str, Entry]) -> dict[str, Entry]:
    """An engine names the hard links of a file in an order of its own."""
    content = {entry.path: entry.sha256 for entry in index.values()}
    return {
        path: Entry(path, Kind.FILE, entry.mode, sha256=content[entry.target or path])
        if entry.kind in (Kind.FILE, Kind.HARDLINK)
        else entry
        for path, entry in index.items()
    }


def test_a_file_of_many_gigabytes_has_its_size_in_its_header() -> None:
    """Debug information makes files that are too large for the oldest tar header."""
    entry, sink = Entry("ceph-osd.debug", Kind.FILE, size=9 << 30, sha256="0" * 64), io.BytesIO()
    with pytest.raises(TreeChanged):  # there are only three megabytes of it here
        layer.write([entry], lambda _: io.BytesIO(os.urandom(3 * MB)), sink, "gzip")
    begun = zlib.decompressobj(31).decompress(sink.getvalue())
    with tarfile.open(fileobj=io.BytesIO(begun), mode="r|") as tar:
        member = tar.next()
    assert member is not None
    assert (member.name, member.size) == ("ceph-osd.debug", 9 << 30)


def test_whiteouts_are_written_as_engines_read_them() -> None:
    """Deletions of a path, of all in a folder, and of all there is, come back as they were given."""
    entries = [
        Entry("", Kind.OPAQUE),
        Entry("top", Kind.WHITEOUT),
        Entry("a/b/c", Kind.WHITEOUT),
        Entry("a/b", Kind.OPAQUE),
    ]
    sink = io.BytesIO()
    layer.write(entries, _never, sink, "gzip")
    tar = unpacked(sink.getvalue())
    assert list(index_tar(io.BytesIO(tar))) == entries
    with tarfile.open(fileobj=io.BytesIO(tar)) as members:
        assert members.getnames() == [".wh..wh..opq", ".wh.top", "a/b/.wh.c", "a/b/.wh..wh..opq"]


def test_a_device_is_not_written_as_an_empty_file() -> None:
    """What a layer of ours cannot hold is refused by name."""
    with pytest.raises(TreeInvalid, match="/dev/null is a device"):
        layer.write([Entry("dev/null", Kind.SPECIAL)], _never, io.BytesIO(), "gzip")


def test_no_entries_are_a_layer_too() -> None:
    """A layer without entries is a tar that ends at once."""
    sink = io.BytesIO()
    layer.write([], _never, sink, "gzip")
    assert unpacked(sink.getvalue()) == bytes(1024)


def _never(entry: Entry) -> IO[bytes]:
    raise AssertionError(f"{entry.path} has no content to read")


# --- files that change


def grow(path: Path) -> None:
    """One byte more."""
    with path.open("ab") as file:
        file.write(b"x")


def shrink(path: Path) -> None:
    """One byte less."""
    os.truncate(path, path.stat().st_size - 1)


def alter(path: Path) -> None:
    """As long as before, and different at its end."""
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def remove(path: Path) -> None:
    """Gone."""
    path.unlink()


def replace(path: Path) -> None:
    """A folder of that name."""
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("size", [10, MB, 3 * MB + 5])
@pytest.mark.parametrize("change", [grow, shrink, alter, remove, replace])
def test_a_file_that_changed_since_it_was_indexed_is_told(
    tmp_path: Path, change: Callable[[Path], None], size: int
) -> None:
    """A layer never holds what its index does not say."""
    (tmp_path / "lib.so").write_bytes(os.urandom(size))
    entries = list(index_folder(tmp_path).values())
    change(tmp_path / "lib.so")
    with pytest.raises(TreeChanged) as caught:
        pack(tmp_path, entries=entries)
    assert caught.value.fact == "/lib.so changed while it was being packed"
    assert caught.value.hint == "invoke pack"


class _Meddling(io.FileIO):
    """A file that is changed as soon as its first bytes were read."""

    meddle: Callable[[], None] = staticmethod(lambda: None)

    def read(self, size: int | None = -1, /) -> bytes:
        got = super().read(-1 if size is None else size) or b""
        self.meddle()
        return got


@pytest.mark.parametrize("change", [grow, shrink, alter])
def test_a_file_that_changes_while_it_is_read_is_told(tmp_path: Path, change: Callable[[Path], None]) -> None:
    """Half of the old file and half of the new is no file."""
    path = tmp_path / "lib.so"
    path.write_bytes(os.urandom(3 * MB))
    entries = list(index_folder(tmp_path).values())
    done = threading.Event()

    def meddle() -> None:
        if not done.is_set():
            done.set()
            change(path)

    def open_source(entry: Entry) -> IO[bytes]:
        file = _Meddling(path)
        file.meddle = meddle
        return file

    with pytest.raises(TreeChanged):
        layer.write(entries, open_source, io.BytesIO(), "gzip")
    assert done.is_set()


def test_a_sink_that_fails_is_not_the_trees_fault(tmp_path: Path) -> None:
    """An error in writing stays what it is, for the store to tell."""
    (tmp_path / "file").write_bytes(os.urandom(4 * MB))
    with Path("/dev/full").open("wb", buffering=0) as full, pytest.raises(OSError, match="No space left"):
        layer.write(
            index_folder(tmp_path).values(), lambda entry: (tmp_path / entry.path).open("rb"), full, "gzip"
        )


def test_every_file_is_closed_and_every_thread_ended(tmp_path: Path) -> None:
    """Also where something fails in the middle."""
    (tmp_path / "file").write_bytes(os.urandom(4 * MB))
    entries = list(index_folder(tmp_path).values())
    shrink(tmp_path / "file")
    before, descriptors = threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(TreeChanged):
        pack(tmp_path, entries=entries)
    assert threading.active_count() == before
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors


def test_memory_stays_flat(tmp_path: Path) -> None:
    """A file of 200 MB is packed in a few MB of memory."""
    with (tmp_path / "big").open("wb") as file:
        file.truncate(200 * MB)
    entries = list(index_folder(tmp_path).values())
    with Path(os.devnull).open("wb") as sink:
        tracemalloc.start()
        try:
            layer.write(entries, lambda entry: (tmp_path / entry.path).open("rb"), sink, "gzip")
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 16 * MB


# --- tars that exist


@settings(max_examples=20, deadline=None)
@given(cuts=st.lists(st.integers(0, 3 * MB), max_size=8), compression=st.sampled_from(["gzip", "zstd"]))
def test_a_tar_gives_the_same_blob_in_whatever_pieces_it_comes(cuts: list[int], compression: str) -> None:
    """An engine sends what it likes at a time; the digest does not hang on it."""
    tar = hashlib.sha256(b"seed").digest() * (3 * MB // 32) + b"end"
    bounds = [0, *sorted(cuts), len(tar)]
    pieces = [tar[start:end] for start, end in itertools.pairwise(bounds)]
    whole, cut = io.BytesIO(), io.BytesIO()
    assert layer.compress(pieces, cut, compression) == layer.compress([tar], whole, compression)
    assert cut.getvalue() == whole.getvalue()


def test_any_compression_is_undone() -> None:
    """A blob is read by what it starts with: gzip or zstd in any number of parts, or a plain tar."""
    tar = os.urandom(3000)
    frames = b"".join(zstandard.ZstdCompressor().compress(part) for part in (tar[:1000], tar[1000:]))
    for blob in (tar, gzip.compress(tar), gzip.compress(tar[:9]) + gzip.compress(tar[9:]), frames, b""):
        assert unpacked(blob) == (tar if blob else b"")
