"""Store: images on disk, as an OCI image layout.

Format: https://github.com/opencontainers/image-spec, image-layout.md.
"""

import errno
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout

from cephtasks import console, layer, tree
from cephtasks.errors import BlobDamaged, ImageNotPacked, StoreFailed
from cephtasks.oci import REF_NAME, Descriptor, Image, Layer, digest_of, encode

_LAYOUT = {"imageLayoutVersion": "1.0.0"}
_SOON = 0.5  # seconds after which somebody who waits is told why


class Store:
    """The images of one STATE_DIR: blobs by digest, images by name, and an index of each layer's files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._blobs = folder / "blobs" / "sha256"
        self._indexes = folder / "indexes"
        self._ingest = folder / "ingest"
        self._lock = FileLock(folder / "lock", thread_local=False)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the store for writing; another process that does so is waited for. Reentrant."""
        with _translated(self._folder):
            for folder in (self._blobs, self._indexes, self._ingest):
                folder.mkdir(parents=True, exist_ok=True)
            self._acquire()
            try:
                if self._lock.lock_counter == 1:
                    self._prepare()
                yield
            finally:
                self._lock.release()

    def path(self, digest: str) -> Path:
        """Where the blob of a digest lies."""
        return self._blobs / digest.removeprefix("sha256:")

    def has(self, blob: Descriptor) -> bool:
        """Whether the blob is here in its full size."""
        try:
            return self.path(blob.digest).stat().st_size == blob.size
        except FileNotFoundError:
            return False

    def open(self, digest: str) -> IO[bytes]:
        """A blob's bytes; raises BlobDamaged where there is no such blob."""
        try:
            return self.path(digest).open("rb")
        except FileNotFoundError as error:
            raise BlobDamaged(
                f"blob {digest} is missing in {self._folder}", f"rm -r {self._folder}; invoke pack"
            ) from error

    def put(self, raw: bytes) -> str:
        """Keep some bytes as a blob; their digest."""
        digest = digest_of(raw)
        if not self.path(digest).exists():
            with self.writing(), self._beside() as sink:
                sink.write(raw)
                sink.close()
                Path(sink.name).replace(self.path(digest))
        return digest

    def put_layer(self, write: Callable[[IO[bytes]], Layer]) -> Layer:
        """Keep as a blob what `write` writes into the file that it is given; its layer."""
        with self.writing(), self._beside() as sink:
            made = write(sink)
            sink.close()
            Path(sink.name).replace(self.path(made.blob.digest))
            return made

    def put_image(self, image: Image, name: str) -> None:
        """Keep an image, whose layers are here, under a name; the name's former image loses it."""
        with self.writing():
            config, manifest = self.put(image.config), self.put(image.manifest)
            named = Descriptor(image.media_type, manifest, len(image.manifest), {REF_NAME: name})
            others = [item for item in self._read_index() if item.annotations.get(REF_NAME) != name]
            missing = [layer.blob.digest for layer in image.layers if not self.has(layer.blob)]
            if missing or config != image.config_blob.digest:
                raise BlobDamaged(f"image {name} lacks blob {(missing or [config])[0]}", "invoke pack")
            self._write_index([*others, named])

    def image(self, name: str) -> Image | None:
        """The image of that name, or None; raises BlobDamaged where its blobs are gone."""
        for item in self._read_index():
            if item.annotations.get(REF_NAME) == name:
                with self.open(item.digest) as stream:
                    manifest = stream.read()
                config = Descriptor.read(json.loads(manifest)["config"])
                with self.open(config.digest) as stream:
                    return Image(manifest, stream.read())
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
        """The entries of one layer; read from its blob once, then kept."""
        path = self._indexes / f"{item.diff_id.removeprefix('sha256:')}.json"
        if path.exists():
            return tuple(tree.from_row(row) for row in json.loads(path.read_bytes()))
        with self.open(item.blob.digest) as blob:
            entries = tuple(tree.index_tar(layer.decompressed(blob)))
        self.put_layer_files(item, entries)
        return entries

    def put_layer_files(self, item: Layer, entries: tuple[tree.Entry, ...]) -> None:
        """Keep the entries of a layer."""
        rows = json.dumps([tree.to_row(entry) for entry in entries]).encode()
        with self.writing(), self._beside() as sink:
            sink.write(rows)
            sink.close()
            Path(sink.name).replace(self._indexes / f"{item.diff_id.removeprefix('sha256:')}.json")

    def derived(self, name: str, write: Callable[[IO[bytes]], None]) -> Path:
        """A file beside the layers' indexes, made by `write`, once: its name tells of what."""
        path = self._indexes / name
        if not path.exists():
            with self.writing(), self._beside() as sink:
                write(sink)
                sink.close()
                Path(sink.name).replace(path)
        return path

    def _acquire(self) -> None:
        try:
            self._lock.acquire(timeout=_SOON)
        except Timeout:
            console.say(f"waiting for another cephtasks that writes to {self._folder}")
            self._lock.acquire()

    def _prepare(self) -> None:
        """Whoever holds the lock owns the unfinished files: those of a run that was killed go."""
        for leftover in self._ingest.iterdir():
            leftover.unlink()
        layout = self._folder / "oci-layout"
        if not layout.exists():
            layout.write_bytes(encode(_LAYOUT))

    @contextmanager
    def _beside(self) -> Iterator[Any]:
        with tempfile.NamedTemporaryFile(dir=self._ingest, delete=False) as sink:
            try:
                yield sink
            finally:
                Path(sink.name).unlink(missing_ok=True)

    def _read_index(self) -> list[Descriptor]:
        try:
            document = json.loads((self._folder / "index.json").read_bytes())
            return [Descriptor.read(item) for item in document["manifests"]]
        except FileNotFoundError:
            return []
        except (ValueError, KeyError, TypeError) as error:
            raise StoreFailed(
                f"{self._folder / 'index.json'} is damaged: {error}", f"rm -r {self._folder}; invoke pack"
            ) from error

    def _write_index(self, items: list[Descriptor]) -> None:
        document = {"schemaVersion": 2, "manifests": [item.document() for item in items]}
        with self._beside() as sink:
            sink.write(encode(document))
            sink.flush()
            os.fsync(sink.fileno())
            Path(sink.name).replace(self._folder / "index.json")


@contextmanager
def _translated(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise StoreFailed(f"the disk that holds {folder} is full", f"df -h {folder}") from error
        if error.filename is None or not str(error.filename).startswith(str(folder)):
            raise
        raise StoreFailed(
            f"{error.filename} cannot be written: {error.strerror}", f"ls -ld {folder}"
        ) from error
