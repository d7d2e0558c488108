"""Store: images on disk, as an OCI image layout.

Format: https://github.com/opencontainers/image-spec, image-layout.md.
"""

import json
import os
import shlex
from collections.abc import Callable, Container, Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Any

from cephtasks import layer, layer_index, tree
from cephtasks.errors import BlobDamaged, ImageNotPacked, StoreFailed
from cephtasks.ingest import Ingest
from cephtasks.layer_index import LayerIndex
from cephtasks.oci import REF_NAME, Descriptor, Image, Layer, digest_of, encode, is_digest
from cephtasks.reference import parse

_LAYOUT = {"imageLayoutVersion": "1.0.0"}
Fetch = Callable[[str, str, int, IO[bytes]], None]  # registry/repository, digest, size, where to write


class Store:
    """The images of one STATE_DIR: blobs by digest, images by name, and an index of each layer's files.

    A blob may be known only by where it can be had; `fetch` then gets it when it is first read.
    """

    def __init__(self, folder: Path, fetch: Fetch | None = None) -> None:
        self._folder = folder
        self._fetch = fetch
        self._blobs = folder / "blobs" / "sha256"
        self._indexes = folder / "indexes"
        self._awaited = folder / "awaited.json"
        self._ingest = Ingest(folder, (self._blobs, self._indexes), {"oci-layout": encode(_LAYOUT)})

    def writing(self) -> AbstractContextManager[None]:
        """Hold the store for writing; another process that does so is waited for.

        Reentrant, and shared by the threads of a process. Raises StoreFailed.
        """
        return self._ingest.writing()

    def path(self, digest: str) -> Path:
        """Where the blob of a digest lies."""
        return self._blobs / digest.removeprefix("sha256:")

    def can_have(self, blob: Descriptor) -> bool:
        """Whether the blob is here, or it is known where it can be had."""
        return self.has(blob) or self.origin(blob.digest) is not None

    def has(self, blob: Descriptor) -> bool:
        """Whether the blob is here in its full size."""
        return self._size(blob.digest) == blob.size

    def open(self, digest: str) -> IO[bytes]:
        """A blob's bytes, fetched first where they are elsewhere; raises BlobDamaged for no such blob."""
        with self._ingest.translated():
            if self._size(digest) is None:
                self._bring(digest)
            try:
                return self.path(digest).open("rb")
            except FileNotFoundError as error:
                raise self._damaged(f"blob {digest} is missing in {self._folder}") from error

    def origin(self, digest: str) -> str | None:
        """The `registry/repository` where a blob can be had, as far as that is known."""
        found = self._origins().get(digest)
        return str(found["from"]) if found else None

    def repositories_at(self, host: str) -> dict[str, str]:
        """The repositories of a registry where blobs can be had, by the blobs' digests."""
        named = ((digest, str(found["from"]).partition("/")) for digest, found in self._origins().items())
        return {digest: repository for digest, (registry, _, repository) in named if registry == host}

    def put_origin(self, blobs: Iterable[Descriptor], name: str) -> None:
        """Keep in mind that these blobs can be had from `name`, a `registry/repository`."""
        with self.writing():
            known = self._origins()
            news = {blob.digest: {"from": name, "size": blob.size} for blob in blobs}
            if {**known, **news} != known:
                self._ingest.write_json(self._folder / "origins.json", {**known, **news})

    def put(self, raw: bytes) -> str:
        """Keep some bytes as a blob; their digest."""
        digest = digest_of(raw)
        if self._size(digest) != len(raw):
            with self._ingest.beside() as (sink, put):
                sink.write(raw)
                put(self.path(digest))
        return digest

    def put_layer(self, write: Callable[[IO[bytes]], Layer]) -> Layer:
        """Keep as a blob what `write` writes into the file that it is given; its layer."""
        with self._ingest.beside() as (sink, put):
            made = write(sink)
            put(self.path(made.blob.digest))
            return made

    def put_image(self, image: Image, name: str, awaited: bool = False) -> None:
        """Keep an image, whose layers are here or can be had, under a name; its former image loses it.

        With `awaited` it is noted that the engine is to get it under that name too.
        """
        with self.writing():
            config, manifest = self.put(image.config), self.put(image.manifest)
            key = _full(name)
            named = Descriptor(image.media_type, manifest, len(image.manifest), {REF_NAME: key})
            others = [item for item in self._read_index() if item.annotations.get(REF_NAME) != key]
            missing = [layer.blob.digest for layer in image.layers if not self.can_have(layer.blob)]
            if missing or config != image.config_blob.digest:
                lacking = (missing or [image.config_blob.digest])[0]
                raise self._damaged(f"image {name} lacks blob {lacking} in {self._folder}")
            self._note_awaited(key, image.id if awaited else "")
            self._write_index([*others, named])

    def is_awaited(self, name: str) -> bool:
        """Whether the engine is still to get the image of that name."""
        noted = self._ingest.read_json(self._awaited).get(_full(name))
        found = self.image(name) if noted else None
        return found is not None and found.id == noted

    def arrived(self, image: Image, name: str) -> None:
        """Note that the engine has got an image under a name."""
        key = _full(name)
        with self.writing():
            if self._ingest.read_json(self._awaited).get(key) == image.id:
                self._note_awaited(key, "")

    def image(self, name: str) -> Image | None:
        """The image of that name, or None; raises BlobDamaged where its blobs are gone or broken."""
        for item in self._read_index():
            if item.annotations.get(REF_NAME) == _full(name):
                manifest = self._read(item.digest)
                config = Descriptor.read(json.loads(manifest)["config"])
                return Image(manifest, self._read(config.digest))
        return None

    def image_of(self, image_id: str) -> Image | None:
        """The image of that id, whatever its name, or None; raises BlobDamaged where its blobs are broken."""
        found = (self.image(item.annotations.get(REF_NAME, "")) for item in self._read_index())
        return next((image for image in found if image and image.id == image_id), None)

    def require_image(self, name: str) -> Image:
        """The image of that name; raises ImageNotPacked."""
        found = self.image(name)
        if found is None:
            raise ImageNotPacked(f"{name} has not been packed", "invoke build, or invoke pack --tree DIR")
        return found

    def names(self) -> tuple[str, ...]:
        """The names of all images; some are ids."""
        return tuple(item.annotations.get(REF_NAME, "") for item in self._read_index())

    def besides(self, images: Iterable[Image]) -> tuple[Path, ...]:
        """The files that none of these images needs: blobs, and what was noted of layers."""
        digests, diff_ids = set[str](), set[str]()
        for image in images:
            digests |= {image.digest, image.config_blob.digest, *(item.blob.digest for item in image.layers)}
            diff_ids |= {item.diff_id for item in image.layers}
        with self._ingest.translated():
            blobs = [path for path in _inside(self._blobs) if f"sha256:{path.name}" not in digests]
            notes = _inside(self._indexes)
            return (*blobs, *(path for path in notes if f"sha256:{path.name.split('.')[0]}" not in diff_ids))

    def forget(self, names: Container[str], files: Iterable[Path]) -> None:
        """Remove images of these names, then the files. Raises StoreFailed."""
        with self.writing():
            kept = [item for item in self._read_index() if item.annotations.get(REF_NAME, "") not in names]
            self._write_index(kept)
            for path in files:
                path.unlink(missing_ok=True)

    def files(self, image: Image) -> dict[str, tree.Entry]:
        """The index of all files of an image, from its layers' own indexes."""
        return tree.flatten(self.layer_files(item) for item in image.layers)

    def layer_files(self, item: Layer) -> tuple[tree.Entry, ...]:
        """The entries of one layer; read from its blob once, then kept. Raises BlobDamaged."""
        return self.layer_index(item).entries

    def layer_index(self, item: Layer) -> LayerIndex:
        """What is in a layer, and what it was cut for where it says so; read once. Raises BlobDamaged."""
        kept = self.kept_index(item)
        if kept is not None:
            return kept
        with self._ingest.translated(), self.open(item.blob.digest) as blob:
            try:
                entries = layer.entries(item, blob)
            except BlobDamaged as error:
                raise self._damaged(f"{error.fact} in {self._folder}") from error
            own = layer_index.read(lambda offset, length: os.pread(blob.fileno(), length, offset))
        index = LayerIndex(own.component if own else "", entries)
        self.put_layer_index(item.diff_id, index)
        return index

    def kept_index(self, item: Layer) -> LayerIndex | None:
        """What is in a layer, where that was kept; a broken index is as none."""
        with self._ingest.translated():
            try:
                with self._index_path(item.diff_id).open("rb") as kept:
                    return layer_index.of_lines(kept)
            except (FileNotFoundError, ValueError, KeyError, TypeError):
                return None

    def put_layer_index(self, diff_id: str, index: LayerIndex) -> None:
        """Keep what is in a layer."""
        with self._ingest.beside() as (sink, put):
            sink.writelines(layer_index.lines(index))
            put(self._index_path(diff_id))

    def derived(self, name: str, write: Callable[[IO[bytes]], None]) -> Path:
        """A file beside the layers' indexes, made by `write`, once: its name tells of what."""
        path = self._indexes / name
        if not path.exists():
            with self._ingest.beside() as (sink, put):
                write(sink)
                put(path)
        return path

    def _index_path(self, diff_id: str) -> Path:
        return self._indexes / f"{diff_id.removeprefix('sha256:')}.jsonl"

    def _origins(self) -> dict[str, dict[str, Any]]:
        # A lost note costs a blob that is read from the engine, or uploaded, once more.
        return self._ingest.read_json(self._folder / "origins.json")

    def _note_awaited(self, key: str, image_id: str) -> None:
        known = self._ingest.read_json(self._awaited)
        noted = {name: found for name, found in known.items() if name != key}
        if image_id:
            noted[key] = image_id
        if noted != known:
            self._ingest.write_json(self._awaited, noted)

    def _bring(self, digest: str) -> None:
        """Fetch a blob from where it can be had."""
        found = self._origins().get(digest)
        if found and self._fetch:
            with self._ingest.beside() as (sink, put):
                self._fetch(str(found["from"]), digest, int(found["size"]), sink)
                put(self.path(digest))

    def _size(self, digest: str) -> int | None:
        with self._ingest.translated():
            try:
                return self.path(digest).stat().st_size
            except FileNotFoundError:
                return None

    def _read(self, digest: str) -> bytes:
        """A small blob, whose bytes are those that its digest promises."""
        with self._ingest.translated(), self.open(digest) as stream:
            raw = stream.read()
        if digest_of(raw) != digest:
            raise self._damaged(f"blob {digest} is damaged in {self._folder}")
        return raw

    def _damaged(self, fact: str) -> BlobDamaged:
        return BlobDamaged(fact, f"rm -r {_quoted(self._folder)}; invoke pack")

    def _read_index(self) -> list[Descriptor]:
        path = self._folder / "index.json"
        with self._ingest.translated():
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
        with self._ingest.beside() as (sink, put):
            sink.write(encode(document))
            sink.flush()
            os.fsync(sink.fileno())
            put(self._folder / "index.json")


def _inside(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.exists() else []


def _full(name: str) -> str:
    """A name with its tag, which may be left out where it is `latest`; an image id as it is."""
    return name if is_digest(name) or not name else parse(name).familiar


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
