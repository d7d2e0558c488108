"""Store: images on disk, as an OCI image layout.

Format: https://github.com/opencontainers/image-spec, image-layout.md.
"""

import errno
import json
import os
import shlex
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from filelock import FileLock, Timeout

from cephtasks import console, layer, tree
from cephtasks.errors import BlobDamaged, ImageNotPacked, StoreFailed
from cephtasks.oci import REF_NAME, Descriptor, Image, Layer, digest_of, encode

_LAYOUT = {"imageLayoutVersion": "1.0.0"}
_SOON = 0.5  # seconds after which somebody who waits is told why
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_UNWRITABLE = _FULL | {errno.EFBIG, errno.EIO, errno.EROFS}


class Store:
    """The images of one STATE_DIR: blobs by digest, images by name, and an index of each layer's files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._blobs = folder / "blobs" / "sha256"
        self._indexes = folder / "indexes"
        self._ingest = folder / "ingest"
        self._lock = FileLock(folder / "lock", thread_local=False)
        self._entering = threading.Lock()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the store for writing; another process that does so is waited for.

        Reentrant, and shared by the threads of a process. Raises StoreFailed.
        """
        with _translated(self._folder):
            self._enter()
            try:
                yield
            finally:
                self._lock.release()

    def path(self, digest: str) -> Path:
        """Where the blob of a digest lies."""
        return self._blobs / digest.removeprefix("sha256:")

    def has(self, blob: Descriptor) -> bool:
        """Whether the blob is here in its full size."""
        return self._size(blob.digest) == blob.size

    def open(self, digest: str) -> IO[bytes]:
        """A blob's bytes; raises BlobDamaged where there is no such blob."""
        with _translated(self._folder):
            try:
                return self.path(digest).open("rb")
            except FileNotFoundError as error:
                raise self._damaged(f"blob {digest} is missing in {self._folder}") from error

    def put(self, raw: bytes) -> str:
        """Keep some bytes as a blob; their digest."""
        digest = digest_of(raw)
        if self._size(digest) != len(raw):
            with self.writing(), self._beside() as (sink, put):
                sink.write(raw)
                put(self.path(digest))
        return digest

    def put_layer(self, write: Callable[[IO[bytes]], Layer]) -> Layer:
        """Keep as a blob what `write` writes into the file that it is given; its layer."""
        with self.writing(), self._beside() as (sink, put):
            made = write(sink)
            put(self.path(made.blob.digest))
            return made

    def put_image(self, image: Image, name: str) -> None:
        """Keep an image, whose layers are here, under a name; the name's former image loses it."""
        with self.writing():
            config, manifest = self.put(image.config), self.put(image.manifest)
            named = Descriptor(image.media_type, manifest, len(image.manifest), {REF_NAME: name})
            others = [item for item in self._read_index() if item.annotations.get(REF_NAME) != name]
            missing = [layer.blob.digest for layer in image.layers if not self.has(layer.blob)]
            if missing or config != image.config_blob.digest:
                lacking = (missing or [image.config_blob.digest])[0]
                raise self._damaged(f"image {name} lacks blob {lacking} in {self._folder}")
            self._write_index([*others, named])

    def image(self, name: str) -> Image | None:
        """The image of that name, or None; raises BlobDamaged where its blobs are gone or broken."""
        for item in self._read_index():
            if item.annotations.get(REF_NAME) == name:
                manifest = self._read(item.digest)
                config = Descriptor.read(json.loads(manifest)["config"])
                return Image(manifest, self._read(config.digest))
        return None

    def require_image(self, name: str) -> Image:
        """The image of that name; raises ImageNotPacked."""
        found = self.image(name)
        if found is None:
            raise ImageNotPacked(f"{name} has not been packed", "invoke build, or invoke pack --tree DIR")
        return found

    def files(self, image: Image) -> dict[str, tree.Entry]:
        """The index of all files of an image, from its layers' own indexes."""
        return tree.flatten(self.layer_files(item) for item in image.layers)

    def layer_files(self, item: Layer) -> tuple[tree.Entry, ...]:
        """The entries of one layer; read from its blob once, then kept. Raises BlobDamaged."""
        kept = self._kept_files(item)
        if kept is not None:
            return kept
        with _translated(self._folder), self.open(item.blob.digest) as blob:
            try:
                entries = layer.entries(item, blob)
            except BlobDamaged as error:
                raise self._damaged(f"{error.fact} in {self._folder}") from error
        self.put_layer_files(item, entries)
        return entries

    def put_layer_files(self, item: Layer, entries: tuple[tree.Entry, ...]) -> None:
        """Keep the entries of a layer."""
        rows = json.dumps([tree.to_row(entry) for entry in entries]).encode()
        with self.writing(), self._beside() as (sink, put):
            sink.write(rows)
            put(self._index_path(item))

    def derived(self, name: str, write: Callable[[IO[bytes]], None]) -> Path:
        """A file beside the layers' indexes, made by `write`, once: its name tells of what."""
        path = self._indexes / name
        if not path.exists():
            with self.writing(), self._beside() as (sink, put):
                write(sink)
                put(path)
        return path

    def _kept_files(self, item: Layer) -> tuple[tree.Entry, ...] | None:
        """What can be read of a layer's index; a broken one is made again from the blob."""
        with _translated(self._folder):
            try:
                rows = json.loads(self._index_path(item).read_bytes())
                return tuple(map(tree.from_row, rows)) if isinstance(rows, list) else None
            except (FileNotFoundError, ValueError, KeyError, TypeError):
                return None

    def _index_path(self, item: Layer) -> Path:
        return self._indexes / f"{item.diff_id.removeprefix('sha256:')}.json"

    def _size(self, digest: str) -> int | None:
        with _translated(self._folder):
            try:
                return self.path(digest).stat().st_size
            except FileNotFoundError:
                return None

    def _read(self, digest: str) -> bytes:
        """A small blob, whose bytes are those that its digest promises."""
        with _translated(self._folder), self.open(digest) as stream:
            raw = stream.read()
        if digest_of(raw) != digest:
            raise self._damaged(f"blob {digest} is damaged in {self._folder}")
        return raw

    def _damaged(self, fact: str) -> BlobDamaged:
        return BlobDamaged(fact, f"rm -r {_quoted(self._folder)}; invoke pack")

    def _enter(self) -> None:
        """Take the lock; the first to have it also clears up, before anybody else goes on."""
        with self._entering:
            for folder in (self._blobs, self._indexes, self._ingest):
                folder.mkdir(parents=True, exist_ok=True)
            try:
                self._lock.acquire(timeout=_SOON)
            except Timeout:
                console.say(f"waiting for another cephtasks that writes to {self._folder}")
                self._lock.acquire()
            if self._lock.lock_counter == 1:
                self._prepare()

    def _prepare(self) -> None:
        """Whoever holds the lock owns the unfinished files: those of a run that was killed go."""
        for leftover in self._ingest.iterdir():
            leftover.unlink()
        layout = self._folder / "oci-layout"
        if not layout.exists():
            layout.write_bytes(encode(_LAYOUT))

    @contextmanager
    def _beside(self) -> Iterator[tuple[IO[bytes], Callable[[Path], None]]]:
        """A file to write, and what puts it in its place once it is whole; without that it is gone."""
        path = self._ingest / uuid.uuid4().hex
        with path.open("xb") as sink:

            def put(place: Path) -> None:
                sink.close()
                path.replace(place)

            try:
                yield sink, put
            finally:
                path.unlink(missing_ok=True)

    def _read_index(self) -> list[Descriptor]:
        path = self._folder / "index.json"
        with _translated(self._folder):
            try:
                document = json.loads(path.read_bytes())
                return [Descriptor.read(item) for item in document["manifests"]]
            except FileNotFoundError:
                return []
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise StoreFailed(
                    f"{path} is damaged: {error}", f"rm -r {_quoted(self._folder)}; invoke pack"
                ) from error

    def _write_index(self, items: list[Descriptor]) -> None:
        document = {"schemaVersion": 2, "manifests": [item.document() for item in items]}
        with self._beside() as (sink, put):
            sink.write(encode(document))
            sink.flush()
            os.fsync(sink.fileno())
            put(self._folder / "index.json")


@contextmanager
def _translated(folder: Path) -> Iterator[None]:
    """Tell the store's own errors from those of a reader or a writer that it was given."""
    try:
        yield
    except OSError as error:
        if not _is_ours(error, folder):
            raise
        if error.errno in _FULL:
            raise StoreFailed(f"the disk that holds {folder} is full", f"df -h {_quoted(folder)}") from error
        raise StoreFailed(
            f"{error.filename or folder} cannot be used: {error.strerror}", f"ls -ld {_quoted(folder)}"
        ) from error


def _is_ours(error: OSError, folder: Path) -> bool:
    """Writing to a file that is open names no file in its error."""
    if error.filename is None:
        return error.errno in _UNWRITABLE
    return Path(os.fsdecode(error.filename)).absolute().is_relative_to(folder.absolute())


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
