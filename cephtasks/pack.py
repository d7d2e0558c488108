"""Pack: put a tree onto a base image, as an image in the store and in the engine."""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from cephtasks import archive, console, layer, oci, tree
from cephtasks.engine import Engine, EngineImage
from cephtasks.errors import EngineRefused, TreeChanged
from cephtasks.folder import index_folder
from cephtasks.plan import plan
from cephtasks.settings import Settings
from cephtasks.source import Source, labels
from cephtasks.store import Store

BASE_NAME = "org.opencontainers.image.base.name"  # image-spec, annotations.md
_UNKNOWN_TIME = "1980-01-01T00:00:00Z"
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Addition:
    """What goes onto an image: entries, the host's file behind each, and what the image says of them.

    `created` is RFC 3339.
    """

    index: tree.Index
    sources: Mapping[str, Path]
    comment: str
    created: str
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Packed:
    """An image that was packed: its name, its id (none in a dry run), the layers above its base."""

    name: str
    id: str
    layers: Sequence[oci.Layer]

    @property
    def size(self) -> int:
        """Bytes of the layers above the base, compressed."""
        return sum(item.blob.size for item in self.layers)


def pack(settings: Settings, engine: Engine, store: Store, folder: Path, source: Source | None) -> Packed:
    """Put an install tree onto BASE_IMAGE, under IMAGE_NAME; `source` is what the tree was compiled from.

    The same tree and base give the same image. Raises TreeInvalid, TreeChanged, ImageNotFound,
    StoreFailed, EngineRefused.
    """
    index = index_folder(folder)
    base_in_engine = engine.require_image(settings.base_image, "invoke fetch-base")
    if engine.dry:
        console.say(f"would pack {len(index)} entries of {folder} onto {settings.base_image}")
        return Packed(settings.image_name, "", ())
    base = keep(engine, store, base_in_engine, settings.layer_compression)
    addition = Addition(
        index=index,
        sources={path: folder / path for path in index},
        comment=f"install tree of {source.commit[:12]}" if source and source.commit else "install tree",
        created=(source.committed if source else None) or base.config_document.get("created", _UNKNOWN_TIME),
        labels={**(labels(source) if source else {}), BASE_NAME: settings.base_image},
    )
    image = append(store, base, addition, settings.layer_compression)
    deliver(store, engine, image, settings.image_name, near=[settings.base_image])
    return Packed(settings.image_name, image.id, image.layers[len(base.layers) :])


def keep(engine: Engine, store: Store, wanted: EngineImage, compression: str) -> oci.Image:
    """Bring an image of the engine into the store, where it is not there yet.

    Raises EngineRefused, StoreFailed.
    """
    kept = store.image(wanted.id)
    if kept is not None and all(store.has(item.blob) for item in kept.layers):
        return kept
    console.say(f"reading {(wanted.tags or (wanted.id,))[0]} from the engine, once")
    documents: list[bytes] = []
    layers: dict[str, oci.Layer] = {}
    with store.writing():
        for content in archive.members(_stream(engine.save(wanted.id))):
            start = content.read(_CHUNK)
            if archive.is_document(start):
                documents.append(start + content.read())
            elif archive.is_tar(start):
                made = store.put_layer(
                    lambda sink, start=start, content=content: layer.compress(  # type: ignore[misc]
                        _chunks(start, content), sink, compression
                    )
                )
                layers[made.diff_id] = made
        config = archive.config_of(documents, wanted.id)
        if config is None or any(diff_id not in layers for diff_id in wanted.diff_ids):
            raise EngineRefused(
                f"the engine does not give all of {wanted.id}", f"docker save {wanted.id} | wc -c"
            )
        image = oci.image(config, [layers[diff_id] for diff_id in wanted.diff_ids])
        store.put_image(image, wanted.id)
    return image


def append(store: Store, below: oci.Image, addition: Addition, compression: str) -> oci.Image:
    """The image with what the addition changes in layers on top; `below` where that is nothing.

    The layers are written to the store. Raises TreeInvalid, TreeChanged, BaseTooDeep, StoreFailed.
    """
    planned = plan(store.files(below), addition.index, base_layers=len(below.layers))
    if not planned.layers and addition.labels.items() <= below.labels.items():
        return below
    files = {
        write.entry.path: addition.sources[write.source.path]
        for new in planned.layers
        for write in new.writes
        if write.source
    }

    def open_source(entry: tree.Entry) -> IO[bytes]:
        try:
            return files[entry.path].open("rb")
        except OSError as error:
            fact = f"{files[entry.path]} cannot be read any more: {error.strerror}"
            raise TreeChanged(fact, "type the same again") from error

    above = []
    for new in planned.layers:
        made = store.put_layer(
            lambda sink, new=new: layer.write(new.entries, open_source, sink, compression)  # type: ignore[misc]
        )
        store.put_layer_files(made, new.entries)
        above.append(oci.Appended(made, f"{addition.comment}: {new.component}"))
    return oci.append(below, above, addition.created, addition.labels)


def deliver(store: Store, engine: Engine, image: oci.Image, name: str, near: Sequence[str] = ()) -> None:
    """Name an image in the store, and load it into the engine with only the layers that it lacks.

    `near` names images of the engine that may share layers with it. Raises EngineRefused, StoreFailed.
    """
    store.put_image(image, name)
    there = engine.image(name)
    if there is not None and there.id == image.id:
        return
    if engine.image(image.id) is not None:
        engine.tag(image.id, name)
        return
    neighbours = [found for other in (name, *near) if (found := engine.image(other)) is not None]
    present = max((_shared(image.diff_ids, other.diff_ids) for other in neighbours), key=len, default=())
    try:
        engine.load(archive.loadable(image, name, present, store.open))
    except EngineRefused:
        if not present:
            raise
        # Engines that keep images in containerd do not look layers up before they read them.
        engine.load(archive.loadable(image, name, (), store.open))


def tag(store: Store, engine: Engine, name: str, target: str) -> None:
    """Give an image one more name, in the engine and, where it is there, in the store.

    Raises ImageNotFound, EngineRefused.
    """
    engine.require_image(name, "invoke build")
    engine.tag(name, target)
    kept = store.image(name)
    if kept is not None and not engine.dry:
        store.put_image(kept, target)


def _shared(diff_ids: Sequence[str], others: Sequence[str]) -> Sequence[str]:
    """The longest beginning that two stacks of layers have in common."""
    common = 0
    for one, other in zip(diff_ids, others, strict=False):
        if one != other:
            break
        common += 1
    return diff_ids[:common]


def _chunks(start: bytes, content: IO[bytes]) -> Iterator[bytes]:
    yield start
    while chunk := content.read(_CHUNK):
        yield chunk


def _stream(chunks: Iterator[bytes]) -> IO[bytes]:
    return io.BufferedReader(_Chunks(chunks), _CHUNK)


class _Chunks(io.RawIOBase):
    """A file to read from chunks as they come."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        while not self._left:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._left = memoryview(chunk)
        count = min(len(buffer), len(self._left))
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        return count
