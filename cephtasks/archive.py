"""Archives: read what `docker save` writes, write what `docker load` reads.

Format: image-spec of Docker v1.2 (manifest.json, one JSON config, layer tars).
"""

import json
import tarfile
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass
from typing import IO, cast

from cephtasks import layer
from cephtasks.errors import ArchiveBroken, BlobDamaged
from cephtasks.oci import Image, Layer, digest_of

_CHUNK = 1 << 20
_BLOCK = tarfile.BLOCKSIZE


def members(archive: IO[bytes]) -> Iterator[IO[bytes]]:
    """The content of every file of an archive, in turn; what is what, its digest tells.

    Raises ArchiveBroken, from here or from reading a content.
    """
    try:
        with tarfile.open(fileobj=archive, mode="r|") as tar:
            for member in tar:
                content = tar.extractfile(member) if member.isreg() and member.size else None
                if content is not None:
                    yield cast(IO[bytes], _Content(content))
    except tarfile.TarError as error:
        raise _broken(error) from error


@dataclass(frozen=True)
class Tar:
    """A layer's tar: how many bytes it has, and what gives them, in pieces."""

    size: int
    pieces: Callable[[], Iterator[bytes]]


def stored(
    layers: Iterable[Layer], present: Container[str], open_blob: Callable[[str], IO[bytes]]
) -> list[Tar | None]:
    """The tars of layers, bottom first; None for those whose diff id is present, or was there before.

    Their pieces raise BlobDamaged.
    """
    sent: set[str] = set()
    tars: list[Tar | None] = []
    for item in layers:
        is_sent = item.diff_id in present or item.diff_id in sent
        tars.append(None if is_sent else _stored(item, open_blob))
        sent.add(item.diff_id)
    return tars


def loadable(tars: Iterable[Tar | None], name: str, image: Callable[[], Image]) -> Iterator[bytes]:
    """An archive with an image under a name, in chunks; `tars` are of its layers, bottom first.

    An engine looks a layer up by its chain id before it opens the file, so None may stand for one that it
    has (moby, image/tarexport/load.go). It opens none before it has all of the archive, so which image
    this is may be known as late as when all tars are through.
    """
    sent: list[str | None] = []
    for number, tar in enumerate(tars):
        sent.append(f"{number}.tar" if tar else None)
        if tar:
            yield from _file(f"{number}.tar", tar.pieces(), tar.size)
    made = image()
    files = {diff_id: path for diff_id, path in zip(made.diff_ids, sent, strict=True) if path}
    config = f"{made.id.removeprefix('sha256:')}.json"
    paths = [files.get(diff_id, "present") for diff_id in made.diff_ids]
    manifest = json.dumps([{"Config": config, "RepoTags": [name], "Layers": paths}]).encode()
    yield from _file(config, iter([made.config]), len(made.config))
    yield from _file("manifest.json", iter([manifest]), len(manifest))
    yield bytes(2 * _BLOCK)


def is_document(start: bytes) -> bool:
    """Whether a member that starts so is JSON rather than a layer."""
    return start[:1] in (b"{", b"[")


def is_tar(start: bytes) -> bool:
    """Whether a member that starts so is a layer; an archive also holds short notes, such as VERSION."""
    return len(start) >= 2 * _BLOCK and len(start) % _BLOCK == 0


def config_of(documents: Iterable[bytes], image_id: str) -> bytes | None:
    """The config among an archive's documents: the one whose digest is the image id."""
    return next((document for document in documents if digest_of(document) == image_id), None)


class _Content:
    """A file of an archive; an archive that ends in it is told as such."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def read(self, size: int = -1, /) -> bytes:
        try:
            return self._stream.read(size)
        except tarfile.TarError as error:
            raise _broken(error) from error


def _broken(error: tarfile.TarError) -> ArchiveBroken:
    return ArchiveBroken(f"what the engine saved is no whole archive: {error}", "docker info")


def _stored(item: Layer, open_blob: Callable[[str], IO[bytes]]) -> Tar:
    length = layer.tar_size(item)

    def pieces() -> Iterator[bytes]:
        with open_blob(item.blob.digest) as blob:
            # An engine takes twice as long for a layer that it has to decompress itself.
            content = blob if length is None else layer.tar_of(item, blob)
            while chunk := content.read(_CHUNK):
                yield chunk

    return Tar(item.blob.size if length is None else length, pieces)


def _file(name: str, content: Iterator[bytes], size: int) -> Iterator[bytes]:
    member = tarfile.TarInfo(name)
    member.size = size
    yield member.tobuf()
    left = size
    for chunk in content:
        left -= len(chunk)
        yield chunk
    if left:
        raise BlobDamaged(f"{name} has {size - left} bytes, not {size}", "invoke pack")
    yield bytes(-size % _BLOCK)
