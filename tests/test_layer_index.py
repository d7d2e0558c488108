"""Layer indexes: what a layer holds, told by its first bytes."""

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import pytest

from cephtasks import layer, layer_index
from cephtasks.layer_index import LayerIndex
from cephtasks.tree import LAYER_INDEX, Entry, Kind, flatten, index_tar, to_row
from lab.layers import file, tar

COMPRESSIONS = ("gzip", "zstd")


def blob_of(component: str, entries: Sequence[Entry], contents: dict[str, bytes], compression: str) -> bytes:
    """The blob of a layer that begins with its index."""
    index = LayerIndex(component, tuple(entries))
    first, document = layer_index.first_entry(index), b"".join(layer_index.document(index))

    def open_source(entry: Entry) -> IO[bytes]:
        return io.BytesIO(document if entry is first else contents[entry.path])

    sink = io.BytesIO()
    layer.write((first, *entries), open_source, sink, compression)
    return sink.getvalue()


class Blob:
    """A blob that is read by ranges, and remembers how far."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.reads: list[int] = []

    def read(self, offset: int, length: int) -> bytes:
        """Some bytes; fewer at the end."""
        chunk = self._content[offset : offset + length]
        self.reads.append(len(chunk))
        return chunk


def binary(size: int) -> tuple[Entry, dict[str, bytes]]:
    """A file of that many bytes of a real program."""
    content = Path("/bin/busybox").read_bytes()[:size]
    index = flatten([index_tar(io.BytesIO(tar(file("usr/bin/ceph-osd", content))))])
    return index["usr/bin/ceph-osd"], {"usr/bin/ceph-osd": content}


ENTRIES = (
    Entry("usr", Kind.FOLDER, 0o711, uid=7, gid=8),
    Entry("usr/a", Kind.WHITEOUT),
    Entry(os.fsdecode(b"usr/lib\xff"), Kind.SYMLINK, 0o777, target=os.fsdecode(b"\xfe")),
    Entry("usr/ä", Kind.HARDLINK, 0o4755, target="usr/b"),
)


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_layer_tells_what_it_holds(compression: str) -> None:
    """Component and entries come back as they were written."""
    blob = blob_of("osd, mon", ENTRIES, {}, compression)
    assert layer_index.read(Blob(blob).read) == LayerIndex("osd, mon", ENTRIES)


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_of_a_large_layer_little_is_read(compression: str) -> None:
    """Some kilobytes, however much lies behind the index: what one block of the compression needs."""
    entry, contents = binary(1 << 20)
    blob = Blob(blob_of("osd", [entry], contents, compression))
    assert layer_index.read(blob.read) == LayerIndex("osd", (entry,))
    assert len(blob.reads) <= 3
    assert sum(blob.reads) <= 112 << 10


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_large_index_takes_few_reads(compression: str) -> None:
    """Each read is twice as long as the one before."""
    entries = tuple(Entry(f"f{n}", Kind.FILE, 0o644, 0, os.urandom(32).hex()) for n in range(5_000))
    index = LayerIndex("python", entries)
    document = b"".join(layer_index.document(index))
    sink = io.BytesIO()
    layer.write((layer_index.first_entry(index),), lambda _: io.BytesIO(document), sink, compression)
    blob = Blob(sink.getvalue())
    assert layer_index.read(blob.read) == index
    assert len(blob.reads) <= 7


def test_the_index_is_no_file_of_the_image() -> None:
    """It is first in the tar, and is not among what the tar is read as."""
    entry, contents = binary(10)
    entries = (Entry("usr", Kind.FOLDER), Entry("usr/bin", Kind.FOLDER), entry)
    blob = blob_of("osd", entries, contents, "gzip")
    with tarfile.open(fileobj=io.BytesIO(blob)) as opened:
        assert opened.getnames() == [LAYER_INDEX, "usr", "usr/bin", "usr/bin/ceph-osd"]
    assert tuple(index_tar(layer.decompressed(io.BytesIO(blob)))) == entries


def test_the_same_entries_give_the_same_layer() -> None:
    """The index adds nothing that could differ."""
    assert blob_of("osd", ENTRIES, {}, "gzip") == blob_of("osd", ENTRIES, {}, "gzip")


@pytest.mark.parametrize("count", [0, 1, 127, 128, 129, 1_500])
def test_the_index_is_one_json_document(count: int) -> None:
    """However many entries are encoded at a time."""
    entries = tuple(Entry(f"f{n}", Kind.FILE, 0o644) for n in range(count))
    document = {"version": 1, "component": "osd, mon", "entries": [to_row(entry) for entry in entries]}
    encoded = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    index = LayerIndex("osd, mon", entries)
    assert b"".join(layer_index.document(index)) == encoded
    first = layer_index.first_entry(index)
    assert (first.size, first.sha256) == (len(encoded), hashlib.sha256(encoded).hexdigest())
    assert layer_index.of_lines(io.BytesIO(b"".join(layer_index.lines(index)))) == index


@pytest.mark.parametrize("count", [1, 128, 129])
def test_lines_that_lack_something_are_no_index(count: int) -> None:
    """Wherever they end."""
    entries = tuple(Entry(f"f{n}", Kind.FILE, 0o644) for n in range(count))
    kept = list(layer_index.lines(LayerIndex("osd", entries)))
    for lines in (kept[:-1], [*kept[:-1], kept[-1][:-3]], kept[1:], [*kept, kept[-1]]):
        with pytest.raises((ValueError, KeyError, TypeError)):
            layer_index.of_lines(io.BytesIO(b"".join(lines)))


ROW = '["a","file",420,0,"","",0,0]'


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff",
        b"[]",
        b"7",
        b'{"version":2,"component":"osd","entries":[]}',
        b'{"component":"osd","entries":[]}',
        b'{"version":1,"entries":[]}',
        b'{"version":1,"component":"osd","entries":7}',
        b'{"version":1,"component":"osd","entries":[7]}',
        b'{"version":1,"component":"osd","entries":[["a","odd"]]}',
        f'{{"version":1,"component":"osd","entries":[{ROW[:-1]},1]]}}'.encode(),
    ],
)
def test_an_index_that_says_nothing_is_none(content: bytes) -> None:
    """A layer that begins so is not one of ours."""
    assert layer_index.read(Blob(tar(file(LAYER_INDEX, content))).read) is None


@pytest.mark.parametrize(
    "blob",
    [
        b"",
        b"short",
        bytes(1024),
        os.urandom(100_000),
        tar(file("usr/bin/ceph", b"other")),
        tar(file("usr", b"other"), file(LAYER_INDEX, b'{"version":1,"component":"osd","entries":[]}')),
    ],
)
def test_what_is_no_layer_of_ours_has_no_index(blob: bytes) -> None:
    """Whatever it is, plain or compressed, whole or cut off."""
    assert layer_index.read(Blob(blob).read) is None


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_blob_that_is_cut_off_or_damaged_has_no_index(compression: str) -> None:
    """To read it neither hangs nor fails."""
    blob = blob_of("osd", ENTRIES * 100, {}, compression)
    assert layer_index.read(Blob(blob[:100]).read) is None
    assert layer_index.read(Blob(blob[:20] + bytes(len(blob) - 20)).read) is None
