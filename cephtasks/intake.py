"""Intake: bring images of the engine and of registries into the store."""

import hashlib
import queue
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import IO, TypeVar

from cephtasks import archive, console, layer, layer_index, oci, pieces, registry
from cephtasks.engine import Engine, EngineImage
from cephtasks.errors import CephtasksError, EngineRefused, UsageError
from cephtasks.layer_index import LayerIndex
from cephtasks.reference import Reference, parse
from cephtasks.registry import Client
from cephtasks.store import Store
from cephtasks.tree import Entry, index_tar

_CHUNK = 1 << 20
_WAITING = 16  # chunks that whoever reads along may be behind

Made = TypeVar("Made")


@dataclass(frozen=True)
class Stock:
    """Where images are read: the store, and registries, each reached by its host."""

    store: Store
    connect: Callable[[str], Client]


@dataclass(frozen=True)
class Places(Stock):
    """Where images are made: the store, registries, and the engine."""

    engine: Engine


def base(places: Places, wanted: EngineImage, host: str, compression: str) -> oci.Image:
    """Know an image of the engine as a base: its layers, and all its files.

    Where the registry at `host` is where it came from, its blobs stay there; else they are brought into
    the store. Either is done once. Raises EngineRefused, ArchiveBroken, StoreFailed.
    """
    kept = _kept(places.store, wanted)
    if kept is not None:
        places.store.put_image(kept, wanted.id)
        return kept
    there = _in_registry(places, wanted, host)
    if there is None:
        return from_engine(places.engine, places.store, wanted, compression)
    image, reference = there
    if any(places.store.kept_index(item) is None for item in image.layers):
        console.say(f"reading the file list of {wanted.name}, once")
        for content in archive.members(pieces.stream(places.engine.save(wanted.id))):
            start = content.read(_CHUNK)
            if archive.is_tar(start) and not archive.is_document(start):
                diff_id, entries = _read_along(_chunks(start, content), _digest)
                places.store.put_layer_index(diff_id, LayerIndex("", entries))
    places.store.put_origin([item.blob for item in image.layers], reference.name)
    places.store.put_image(image, wanted.id)
    return image


def from_engine(engine: Engine, store: Store, wanted: EngineImage, compression: str) -> oci.Image:
    """Bring an image of the engine into the store, layers and all, where it is not there yet.

    Raises EngineRefused, ArchiveBroken, StoreFailed.
    """
    kept = _kept(store, wanted)
    if kept is not None:
        return kept
    console.say(f"reading {wanted.name} from the engine, once")
    documents: list[bytes] = []
    layers: dict[str, oci.Layer] = {}
    with store.writing():
        for content in archive.members(pieces.stream(engine.save(wanted.id))):
            start = content.read(_CHUNK)
            if archive.is_document(start):
                documents.append(start + content.read())
            elif archive.is_tar(start):
                made = _keep_layer(store, _chunks(start, content), compression)
                layers[made.diff_id] = made
        config = archive.config_of(documents, wanted.id)
        if config is None or any(diff_id not in layers for diff_id in wanted.diff_ids):
            fact = f"the engine does not give all of {wanted.id}"
            raise EngineRefused(fact, f"docker save {wanted.id} | wc -c")
        image = oci.image(config, [layers[diff_id] for diff_id in wanted.diff_ids])
        store.put_image(image, wanted.id)
    return image


def from_registry(stock: Stock, reference: Reference) -> oci.Image:
    """Know an image of a registry: its layers, without fetching them. Raises what `registry.read` raises."""
    image = registry.read(stock.connect(reference.registry), reference)
    stock.store.put_origin([item.blob for item in image.layers], reference.name)
    return image


def known_index(stock: Stock, item: oci.Layer) -> LayerIndex | None:
    """What is in a layer: as kept, or as the layer itself says at its beginning, wherever it is.

    That is believed, for only a whole layer can be held against its digest. None for a layer that is
    elsewhere and says nothing. Raises what the registry's client raises.
    """
    store = stock.store
    kept = store.kept_index(item)
    if kept is not None:
        return kept
    if store.has(item.blob):
        return store.layer_index(item)
    origin = store.origin(item.blob.digest)
    if origin is None:
        return None
    where = parse(origin)
    ranges = registry.ranges(stock.connect(where.registry), where.repository, item.blob.digest)
    found = layer_index.read(ranges)
    if found is not None:
        store.put_layer_index(item.diff_id, found)
    return found


def known_files(stock: Stock, item: oci.Layer) -> tuple[Entry, ...] | None:
    """The entries of a layer, as `known_index` tells them."""
    index = known_index(stock, item)
    return index.entries if index else None


def _kept(store: Store, wanted: EngineImage) -> oci.Image | None:
    kept = store.image(wanted.id) or store.image_of(wanted.id)
    whole = kept is not None and all(store.can_have(item.blob) for item in kept.layers)
    return kept if whole else None


def _in_registry(places: Places, wanted: EngineImage, host: str) -> tuple[oci.Image, Reference] | None:
    """The image as the registry at `host` has it; None where it did not come from there."""
    for named in map(parse, wanted.repo_digests):
        if named.registry != host:
            continue
        try:
            image = registry.read(places.connect(host), named)
        except UsageError:
            raise
        except CephtasksError:
            continue  # not reachable, or gone there: the engine has all of it
        if image.id == wanted.id:
            return image, named
    return None


def _keep_layer(store: Store, tar: Iterator[bytes], compression: str) -> oci.Layer:
    def write(chunks: Iterator[bytes]) -> oci.Layer:
        return store.put_layer(lambda sink: layer.compress(chunks, sink, compression))

    made, entries = _read_along(tar, write)
    store.put_layer_index(made.diff_id, LayerIndex("", entries))
    return made


def _digest(chunks: Iterator[bytes]) -> str:
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return f"sha256:{digest.hexdigest()}"


def _read_along(
    tar: Iterator[bytes], make: Callable[[Iterator[bytes]], Made]
) -> tuple[Made, tuple[Entry, ...]]:
    """What is made of a tar, and its entries, which another thread reads meanwhile."""
    waiting: queue.Queue[bytes] = queue.Queue(_WAITING)

    def passing() -> Iterator[bytes]:
        for chunk in tar:
            waiting.put(chunk)
            yield chunk

    def entries() -> tuple[Entry, ...]:
        copy = iter(waiting.get, b"")
        try:
            return tuple(index_tar(pieces.stream(copy)))
        finally:
            for _ in copy:  # to the end, for whoever puts chunks there must never wait in vain
                pass

    with ThreadPoolExecutor(max_workers=1) as aside:
        reading = aside.submit(entries)
        try:
            made = make(passing())
        finally:
            waiting.put(b"")
        return made, reading.result()


def _chunks(start: bytes, content: IO[bytes]) -> Iterator[bytes]:
    yield start
    while chunk := content.read(_CHUNK):
        yield chunk
