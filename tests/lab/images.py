"""Images: small ones of the given files, packed into a store."""

import hashlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from cephtasks import layer, oci
from cephtasks.reference import legal_repository
from cephtasks.store import Store
from cephtasks.tree import Entry, Kind


def packed(store: Store, name: str, layers: Sequence[Mapping[str, bytes | Path]]) -> oci.Image:
    """An image whose layers hold these files (path: content or file), bottom first; a label has its name."""
    made = [_layer(store, files) for files in layers]
    config = oci.encode(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Labels": {"name": name}},
            "rootfs": {"type": "layers", "diff_ids": [item.diff_id for item in made]},
        }
    )
    image = oci.image(config, made)
    store.put_image(image, legal_repository(name))
    return image


def _layer(store: Store, files: Mapping[str, bytes | Path]) -> oci.Layer:
    entries = [_entry(path, content) for path, content in files.items()]
    return store.put_layer(
        lambda sink: layer.write(entries, lambda entry: _opened(files[entry.path]), sink, "gzip")
    )


def _entry(path: str, content: bytes | Path) -> Entry:
    size = len(content) if isinstance(content, bytes) else content.stat().st_size
    with _opened(content) as stream:
        return Entry(path, Kind.FILE, size=size, sha256=hashlib.file_digest(stream, "sha256").hexdigest())


def _opened(content: bytes | Path) -> io.BytesIO | io.BufferedReader:
    return io.BytesIO(content) if isinstance(content, bytes) else content.open("rb")
