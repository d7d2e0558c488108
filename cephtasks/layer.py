"""Layers: turn entries into a reproducible tar, compressed and hashed as a stream."""

import gzip
import hashlib
import tarfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from typing import IO, Protocol, cast

import zstandard
from isal import igzip, isal_zlib

from cephtasks.errors import BlobDamaged, TreeChanged, TreeInvalid
from cephtasks.oci import OCI_LAYER_GZIP, OCI_LAYER_ZSTD, TAR_SIZE, Descriptor, Layer
from cephtasks.tree import OPAQUE_MARKER, WHITEOUT_PREFIX, Entry, Kind, index_tar

# One fixed time for every entry: layers of equal content are then equal, and 0 upsets zip.
_MTIME = 315532800  # 1980-01-01T00:00:00Z
_CHUNK = 1 << 19
_BLOCK = tarfile.BLOCKSIZE
_END = bytes(2 * _BLOCK)
_GZIP_WINDOW = 31  # zlib's window bits: the largest window, with gzip's header and trailer
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_GZIP_MAGIC = b"\x1f\x8b"
_MEDIA_TYPES = {"gzip": OCI_LAYER_GZIP, "zstd": OCI_LAYER_ZSTD}
_TYPES = {
    Kind.FILE: tarfile.REGTYPE,
    Kind.FOLDER: tarfile.DIRTYPE,
    Kind.SYMLINK: tarfile.SYMTYPE,
    Kind.HARDLINK: tarfile.LNKTYPE,
    Kind.WHITEOUT: tarfile.REGTYPE,
    Kind.OPAQUE: tarfile.REGTYPE,
}

# What readers of gzip and zstd say of bytes that are none.
_BROKEN: tuple[type[Exception], ...] = (
    EOFError,
    gzip.BadGzipFile,
    cast(type[Exception], isal_zlib.IsalError),
    zstandard.ZstdError,
)

OpenSource = Callable[[Entry], IO[bytes]]


def write(entries: Iterable[Entry], open_source: OpenSource, sink: IO[bytes], compression: str) -> Layer:
    """Write entries as one layer to `sink`; `compression` is gzip or zstd.

    The same entries give the same bytes. Raises TreeChanged where a file is no longer what its
    entry says, TreeInvalid for entries that no layer of ours can hold.
    """
    with ThreadPoolExecutor(max_workers=1) as aside:
        return compress(_tar(entries, partial(_checked, open_source, aside)), sink, compression)


def tar(entries: Iterable[Entry], open_source: OpenSource) -> Iterator[bytes]:
    """The tar that `write` compresses, for whoever holds it against its diff id: no file is hashed.

    Raises TreeChanged where a file is longer or shorter than its entry says, TreeInvalid as `write` does.
    """
    return _tar(entries, partial(_content, open_source))


def tar_length(entries: Iterable[Entry]) -> int:
    """Bytes of the tar of entries; raises TreeInvalid as `write` does."""
    return sum(len(_header(entry)) + entry.size + -entry.size % _BLOCK for entry in entries) + len(_END)


def compress(tar: Iterable[bytes], sink: IO[bytes], compression: str) -> Layer:
    """Compress a tar to `sink`; the same tar gives the same bytes, whatever pieces it comes in."""
    compressor = _compressor(compression)
    tar_digest, blob_digest = hashlib.sha256(), hashlib.sha256()
    length = size = 0

    def emit(compressed: bytes) -> None:
        nonlocal size
        blob_digest.update(compressed)
        size += len(compressed)
        sink.write(compressed)

    # Hashing the tar takes a third of the time that compressing it takes: they go side by side.
    with ThreadPoolExecutor(max_workers=1) as aside:
        for chunk in _in_equal_chunks(tar):
            length += len(chunk)
            hashed = aside.submit(tar_digest.update, chunk)
            emit(compressor.compress(chunk))
            hashed.result()
    emit(compressor.flush())
    digest, annotations = f"sha256:{blob_digest.hexdigest()}", {TAR_SIZE: str(length)}
    blob = Descriptor(_MEDIA_TYPES[compression], digest, size, annotations)
    return Layer(blob, f"sha256:{tar_digest.hexdigest()}")


def tar_size(item: Layer) -> int | None:
    """Bytes of a layer's uncompressed tar, where whoever made the layer wrote them down."""
    noted = item.blob.annotations.get(TAR_SIZE, "")
    return int(noted) if noted.isascii() and noted.isdigit() else None


def decompressed(blob: IO[bytes]) -> IO[bytes]:
    """The tar inside a blob, whichever way it is compressed."""
    magic = blob.read(4)
    blob.seek(0)
    if magic.startswith(_GZIP_MAGIC):
        return cast(IO[bytes], igzip.IGzipFile(fileobj=blob, mode="rb"))  # type: ignore[no-untyped-call]
    if magic == _ZSTD_MAGIC:
        reader = zstandard.ZstdDecompressor().stream_reader(blob, read_across_frames=True)
        return cast(IO[bytes], reader)
    return blob


def unpacked(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The tar inside a blob, taking no more pieces of the blob than are asked for; raises BlobDamaged."""
    decompress: Callable[[bytes], bytes] | None = None
    for piece in pieces:
        decompress = decompress or _decompress(piece)
        try:
            yield decompress(piece)
        except _BROKEN as error:
            raise BlobDamaged(f"a layer cannot be decompressed: {error}", "invoke pack") from error


def tar_of(item: Layer, blob: IO[bytes]) -> IO[bytes]:
    """The tar of a layer, to be read to its end; reading raises BlobDamaged where it is not the layer's."""
    return cast(IO[bytes], _Tar(item, decompressed(blob)))


def entries(item: Layer, blob: IO[bytes]) -> tuple[Entry, ...]:
    """The entries of a layer, whiteouts among them; raises BlobDamaged."""
    tar = tar_of(item, blob)
    try:
        found = tuple(index_tar(tar))
    except tarfile.TarError as error:
        raise _damaged(item) from error
    while tar.read(_CHUNK):
        pass
    return found


class _Tar:
    """A layer's tar that is held against its diff id while it is read."""

    def __init__(self, item: Layer, stream: IO[bytes]) -> None:
        self._item = item
        self._stream = stream
        self._digest = hashlib.sha256()

    def read(self, size: int = -1, /) -> bytes:
        try:
            data = self._stream.read(size)
        except _BROKEN as error:
            raise _damaged(self._item) from error
        self._digest.update(data)
        if not data and size and f"sha256:{self._digest.hexdigest()}" != self._item.diff_id:
            raise _damaged(self._item)
        return data


def _decompress(start: bytes) -> Callable[[bytes], bytes]:
    if start.startswith(_GZIP_MAGIC):
        return cast(Callable[[bytes], bytes], isal_zlib.decompressobj(wbits=_GZIP_WINDOW).decompress)
    if start.startswith(_ZSTD_MAGIC):
        return zstandard.ZstdDecompressor().decompressobj().decompress
    return bytes


class _Compressor(Protocol):
    def compress(self, data: bytes | memoryview, /) -> bytes: ...
    def flush(self) -> bytes: ...


def _compressor(compression: str) -> _Compressor:
    if compression == "zstd":
        return zstandard.ZstdCompressor(level=1).compressobj()
    return isal_zlib.compressobj(level=1, wbits=_GZIP_WINDOW)


def _in_equal_chunks(pieces: Iterable[bytes]) -> Iterator[memoryview]:
    """What a compressor gives depends on the pieces that it is given. Each is good until the next."""
    buffer = memoryview(bytearray(_CHUNK))
    filled = 0
    for piece in pieces:
        left = memoryview(piece)
        while left:
            count = min(len(left), _CHUNK - filled)
            buffer[filled : filled + count] = left[:count]
            left = left[count:]
            filled += count
            if filled == _CHUNK:
                yield buffer
                filled = 0
    if filled:
        yield buffer[:filled]


def _tar(entries: Iterable[Entry], content: Callable[[Entry], Iterator[bytes]]) -> Iterator[bytes]:
    for entry in entries:
        yield _header(entry)
        if entry.kind is Kind.FILE:
            yield from content(entry)
            yield bytes(-entry.size % _BLOCK)
    yield _END


def _checked(open_source: OpenSource, aside: Executor, entry: Entry) -> Iterator[bytes]:
    """A file's bytes, which are those that its entry promises, or TreeChanged."""
    digest = hashlib.sha256()
    for chunk in _content(open_source, entry):
        if len(chunk) < _CHUNK:  # not worth handing over
            digest.update(chunk)
            yield chunk
            continue
        hashed = aside.submit(digest.update, chunk)
        yield chunk
        hashed.result()
    if digest.hexdigest() != entry.sha256:
        raise _changed(entry)


def _content(open_source: OpenSource, entry: Entry) -> Iterator[bytes]:
    """A file's bytes, as many as its entry promises, or TreeChanged."""
    left = entry.size
    try:
        with open_source(entry) as stream:
            while chunk := stream.read(min(_CHUNK, left + 1)):
                left -= len(chunk)
                if left < 0:
                    raise _changed(entry)
                yield chunk
    except OSError as error:
        raise _changed(entry) from error
    if left:
        raise _changed(entry)


def _header(entry: Entry) -> bytes:
    return _member(entry).tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _member(entry: Entry) -> tarfile.TarInfo:
    if entry.kind not in _TYPES:
        raise TreeInvalid(f"/{entry.path} is a device, a pipe or a socket; no layer holds it", "invoke pack")
    member = tarfile.TarInfo(_tar_name(entry))
    member.type = _TYPES[entry.kind]
    member.mode, member.uid, member.gid, member.mtime = entry.mode, entry.uid, entry.gid, _MTIME
    member.size, member.linkname = entry.size, entry.target
    return member


def _tar_name(entry: Entry) -> str:
    parent, _, name = entry.path.rpartition("/")
    if entry.kind is Kind.OPAQUE:
        return f"{entry.path}/{OPAQUE_MARKER}".lstrip("/")
    if entry.kind is Kind.WHITEOUT:
        return f"{parent}/{WHITEOUT_PREFIX}{name}".lstrip("/")
    return entry.path


def _damaged(item: Layer) -> BlobDamaged:
    return BlobDamaged(f"blob {item.blob.digest} is damaged", "invoke pack")


def _changed(entry: Entry) -> TreeChanged:
    return TreeChanged(f"/{entry.path} changed while it was being packed", "invoke pack")
