"""Layering: write the layers that are planned to the store, each beginning with its own index."""

import hashlib
import io
import os
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from cephtasks import layer, layer_index, oci, tree
from cephtasks.engine import Engine
from cephtasks.errors import TreeChanged
from cephtasks.intake import Places
from cephtasks.layer_index import LayerIndex
from cephtasks.stack import NewLayer, Origin


@dataclass(frozen=True)
class Material:
    """What layers are made of: an index of files, the file of this host behind each, and the base below."""

    index: tree.Index
    sources: Mapping[str, Path]
    base: oci.Image


def write(
    places: Places, layers: Sequence[NewLayer], material: Material, compression: str, created: str
) -> list[oci.Appended]:
    """Write planned layers to the store, on all cores. Raises TreeChanged, EngineRefused, StoreFailed."""
    store = places.store

    def write_one(new: NewLayer) -> oci.Appended:
        first, raw = layer_index.begin(new.component, new.entries)
        content = _Content(new, raw, material, places.engine)
        made = store.put_layer(
            lambda sink: layer.write((first, *new.entries), content.open, sink, compression)
        )
        store.put_layer_index(made.diff_id, LayerIndex(new.component, new.entries))
        return oci.Appended(made, new.component, created)

    with store.writing(), ThreadPoolExecutor(max_workers=os.cpu_count()) as crew:
        try:
            return list(crew.map(write_one, layers))
        except BaseException:
            crew.shutdown(cancel_futures=True)
            raise


def entry_of(path: str, source: Path) -> tree.Entry:
    """The entry of a program or library of this host, to lie at a path of an image. Raises TreeChanged."""
    try:
        with source.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
            return tree.Entry(path, tree.Kind.FILE, 0o755, stream.tell(), sha256)
    except OSError as error:
        fact = f"{source} cannot be read any more: {error.strerror}"
        raise TreeChanged(fact, "type the same again") from error


@dataclass(frozen=True)
class _Content:
    """Where the content of a new layer's files is."""

    new: NewLayer
    raw_index: bytes
    material: Material
    engine: Engine
    _sources: dict[str, tuple[Origin, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for write in self.new.writes:
            if write.source:
                self._sources[write.entry.path] = (write.source.origin, write.source.path)

    def open(self, entry: tree.Entry) -> IO[bytes]:
        """The bytes of an entry; raises TreeChanged, EngineRefused."""
        if entry.path == tree.LAYER_INDEX:
            return io.BytesIO(self.raw_index)
        origin, path = self._sources[entry.path]
        if origin is Origin.BASE:
            return self._from_base(path)
        source = self.material.sources[path]
        try:
            return source.open("rb")
        except OSError as error:
            fact = f"{source} cannot be read any more: {error.strerror}"
            raise TreeChanged(fact, "type the same again") from error

    def _from_base(self, path: str) -> IO[bytes]:
        with ExitStack() as until_whole:
            copy = until_whole.enter_context(tempfile.TemporaryFile())
            self.engine.copy_out(self.material.base.id, path, copy)
            copy.seek(0)
            until_whole.pop_all()
        return copy
