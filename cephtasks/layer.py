"""Layers: turn entries into a reproducible tar, compressed and hashed as a stream."""

import hashlib
import tarfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import IO, Protocol, cast

import zstandard
from isal import igzip, isal_zlib

from cephtasks.errors import TreeChanged
from cephtasks.oci import OCI_LAYER_GZIP, OCI_LAYER_ZSTD, Descriptor, Layer
from cephtasks.tree import OPAQUE_MARKER, WHITEOUT_PREFIX, Entry, Kind

# One fixed time for every entry: layers of equal content are then equal, and 0 upsets zip.
_MTIME = 315532800  # 1980-01-01T00:00:00Z
_CHUNK = 1 << 20
_GZIP_WINDOW = 31  # zlib's window bits: the largest window, with gzip's header and trailer
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_GZIP_MAGIC = b"\x1f\x8b"

OpenSource = Callable[[Entry], IO[bytes]]


class _Compressor(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self) -> bytes: ...


_MEDIA_TYPES = {"gzip": OCI_LAYER_GZIP, "zstd": OCI_LAYER_ZSTD}


class Compressor:
    """A file to write an uncompressed tar to; the compressed blob goes to `sink`, both are hashed."""

    def __init__(self, sink: IO[bytes], compression: str) -> None:
        self._sink = sink
        self._compression = compression
        self._compressor: _Compressor = (
            zstandard.ZstdCompressor(level=1).compressobj()
            if compression == "zstd"
            else isal_zlib.compressobj(level=1, wbits=_GZIP_WINDOW)
        )
        self._tar = hashlib.sha256()
        self._blob = hashlib.sha256()
        self._size = 0

    def write(self, data: bytes, /) -> int:
        """Take the next bytes of the tar."""
        self._tar.update(data)
        self._emit(self._compressor.compress(data))
        return len(data)

    def finish(self) -> Layer:
        """End the blob; its descriptor and diff id."""
        self._emit(self._compressor.flush())
        blob = Descriptor(_MEDIA_TYPES[self._compression], f"sha256:{self._blob.hexdigest()}", self._size)
        return Layer(blob, f"sha256:{self._tar.hexdigest()}")

    def _emit(self, data: bytes) -> None:
        self._blob.update(data)
        self._size += len(data)
        self._sink.write(data)


@dataclass
class _Hashing:
    """A file that is hashed while tarfile reads it."""

    stream: IO[bytes]

    def __post_init__(self) -> None:
        self._digest = hashlib.sha256()

    def read(self, size: int = -1, /) -> bytes:
        data = self.stream.read(size)
        self._digest.update(data)
        return data

    def hexdigest(self) -> str:
        return self._digest.hexdigest()


def write(entries: Iterable[Entry], open_source: OpenSource, sink: IO[bytes], compression: str) -> Layer:
    """Write entries as one layer to `sink`; `compression` is gzip or zstd.

    The same entries give the same bytes. Raises TreeChanged where a file is no longer what its
    entry says.
    """
    compressor = Compressor(sink, compression)
    tar_file = cast(IO[bytes], compressor)
    with tarfile.open(
        fileobj=tar_file, mode="w|", bufsize=_CHUNK, format=tarfile.PAX_FORMAT, errors="surrogateescape"
    ) as tar:
        tar.copybufsize = _CHUNK  # type: ignore[attr-defined]
        for entry in entries:
            _add(tar, entry, open_source)
    return compressor.finish()


def compress(tar: Iterable[bytes], sink: IO[bytes], compression: str) -> Layer:
    """Compress an existing tar to `sink`."""
    compressor = Compressor(sink, compression)
    for chunk in tar:
        compressor.write(chunk)
    return compressor.finish()


def decompressed(blob: IO[bytes]) -> IO[bytes]:
    """The tar inside a blob, whichever way it is compressed."""
    magic = blob.read(4)
    blob.seek(0)
    if magic.startswith(_GZIP_MAGIC):
        return cast(IO[bytes], igzip.IGzipFile(fileobj=blob, mode="rb"))  # type: ignore[no-untyped-call]
    if magic == _ZSTD_MAGIC:
        return cast(IO[bytes], zstandard.ZstdDecompressor().stream_reader(blob))
    return blob


def _add(tar: tarfile.TarFile, entry: Entry, open_source: OpenSource) -> None:
    member = _member(entry)
    if entry.kind is not Kind.FILE:
        tar.addfile(member)
        return
    with open_source(entry) as stream:
        content = _Hashing(stream)
        try:
            tar.addfile(member, content)
        except OSError as error:
            if error.errno is not None:
                raise
            raise _changed(entry) from error  # tarfile's word for a file that became shorter
        if stream.read(1) or content.hexdigest() != entry.sha256:
            raise _changed(entry)


def _member(entry: Entry) -> tarfile.TarInfo:
    types = {Kind.FOLDER: tarfile.DIRTYPE, Kind.SYMLINK: tarfile.SYMTYPE, Kind.HARDLINK: tarfile.LNKTYPE}
    member = tarfile.TarInfo(_tar_name(entry))
    member.type = types.get(entry.kind, tarfile.REGTYPE)
    member.mode, member.uid, member.gid, member.mtime = entry.mode, entry.uid, entry.gid, _MTIME
    member.size, member.linkname = entry.size, entry.target
    return member


def _tar_name(entry: Entry) -> str:
    parent, _, name = entry.path.rpartition("/")
    if entry.kind is Kind.OPAQUE:
        return f"{entry.path}/{OPAQUE_MARKER}"
    if entry.kind is Kind.WHITEOUT:
        return f"{parent}/{WHITEOUT_PREFIX}{name}".lstrip("/")
    return entry.path


def _changed(entry: Entry) -> TreeChanged:
    return TreeChanged(f"/{entry.path} changed while it was being packed", "invoke pack")
