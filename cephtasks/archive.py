"""Archives: read what `docker save` writes, write what `docker load` reads.

Format: image-spec of Docker v1.2 (manifest.json, one JSON config, layer tars).
"""

import io
import json
import tarfile
from collections.abc import Callable, Container, Iterable, Iterator
from typing import IO, cast

from cephtasks import layer
from cephtasks.errors import ArchiveBroken, BlobDamaged
from cephtasks.oci import Image, digest_of

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


def loadable(
    image: Image, name: str, present: Container[str], open_blob: Callable[[str], IO[bytes]]
) -> Iterator[bytes]:
    """An archive with the image under a name, in chunks, without the layers whose diff id is present.

    An engine looks a layer up by its chain id before it opens the file, so files of layers that it
    has may be missing (moby, image/tarexport/load.go). Raises BlobDamaged.
    """
    config_name = f"{image.id.removeprefix('sha256:')}.json"
    paths = [f"{item.diff_id.removeprefix('sha256:')}.tar" for item in image.layers]
    manifest = [{"Config": config_name, "RepoTags": [name], "Layers": paths}]
    yield from _file(config_name, io.BytesIO(image.config), len(image.config))
    written = set()
    for item, path in zip(image.layers, paths, strict=True):
        if item.diff_id in present or path in written:
            continue
        written.add(path)
        # An engine takes twice as long for a layer that it has to decompress itself.
        length = layer.tar_size(item)
        with open_blob(item.blob.digest) as blob:
            if length is None:
                yield from _file(path, blob, item.blob.size)
            else:
                yield from _file(path, layer.tar_of(item, blob), length)
    encoded = json.dumps(manifest).encode()
    yield from _file("manifest.json", io.BytesIO(encoded), len(encoded))
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


def _file(name: str, content: IO[bytes], size: int) -> Iterator[bytes]:
    member = tarfile.TarInfo(name)
    member.size = size
    yield member.tobuf()
    left = size
    while chunk := content.read(_CHUNK):
        left -= len(chunk)
        yield chunk
    if left:
        raise BlobDamaged(f"{name} has {size - left} bytes, not {size}", "invoke pack")
    yield bytes(-size % _BLOCK)
