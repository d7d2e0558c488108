"""Layering: write the layers that are planned to the store, each beginning with its own index."""

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import IO

from cephtasks import layer, layer_index, oci, pieces, tree
from cephtasks.archive import Tar
from cephtasks.engine import Engine
from cephtasks.errors import TreeChanged
from cephtasks.intake import Places
from cephtasks.layer_index import LayerIndex
from cephtasks.stack import NewLayer, Origin, Source


@dataclass(frozen=True)
class Material:
    """What layers are made of: files, and the base below.

    `locate` tells which file of this host holds what the tree has at a path.
    """

    locate: Callable[[str], Path]
    base: oci.Image


def write(
    places: Places, layers: Sequence[NewLayer], material: Material, compression: str, created: str
) -> list[oci.Appended]:
    """Write planned layers to the store, on all cores. Raises TreeChanged, EngineRefused, StoreFailed."""
    store = places.store

    def write_one(new: NewLayer) -> oci.Appended:
        making = _Making(new, material, places.engine)
        made = store.put_layer(lambda sink: layer.write(making.entries, making.open, sink, compression))
        store.put_layer_index(made.diff_id, making.index)
        return oci.Appended(made, new.component, created)

    with store.writing(), ThreadPoolExecutor(max_workers=os.cpu_count()) as crew:
        try:
            return list(crew.map(write_one, layers))
        except BaseException:
            crew.shutdown(cancel_futures=True)
            raise


def tars(places: Places, layers: Sequence[NewLayer], material: Material) -> Iterator[Tar]:
    """The tars of the layers that `write` compresses, read once more, and no file of them hashed.

    Their pieces raise TreeChanged, EngineRefused.
    """
    for new in layers:
        making = _Making(new, material, places.engine)
        yield Tar(layer.tar_length(making.entries), making.tar)


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
class _Making:
    """A new layer, with its own index, and where the content of its files is."""

    new: NewLayer
    material: Material
    engine: Engine

    @property
    def index(self) -> LayerIndex:
        """What the layer says of itself."""
        return LayerIndex(self.new.component, self.new.entries)

    @cached_property
    def _first(self) -> tree.Entry:
        return layer_index.first_entry(self.index)

    @property
    def entries(self) -> Iterator[tree.Entry]:
        """The entries of the layer's tar."""
        return chain([self._first], self.new.entries)

    def tar(self) -> Iterator[bytes]:
        """The tar, in pieces that raise TreeChanged, EngineRefused; no file of it is hashed."""
        return layer.tar(self.entries, self.open)

    def open(self, entry: tree.Entry) -> IO[bytes]:
        """The bytes of an entry; raises TreeChanged, EngineRefused."""
        if entry.path == tree.LAYER_INDEX:
            return pieces.stream(layer_index.document(self.index))
        found = self.new.sources.get(entry.path) or Source(Origin.TREE, entry.path)
        if found.origin is Origin.BASE:
            return self._from_base(found.path)
        source = self.material.locate(found.path)
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
