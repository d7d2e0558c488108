"""Images: small ones of the given files, packed into a store."""

import hashlib
import io
from collections.abc import Mapping, Sequence

from cephtasks import layer, oci
from cephtasks.reference import legal_repository
from cephtasks.store import Store
from cephtasks.tree import Entry, Kind


def packed(store: Store, name: str, layers: Sequence[Mapping[str, bytes]]) -> oci.Image:
    """An image whose layers hold these files (path: content), bottom first; a label tells its name."""
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


def _layer(store: Store, files: Mapping[str, bytes]) -> oci.Layer:
    entries = [
        Entry(path, Kind.FILE, size=len(content), sha256=hashlib.sha256(content).hexdigest())
        for path, content in files.items()
    ]
    return store.put_layer(
        lambda sink: layer.write(entries, lambda entry: io.BytesIO(files[entry.path]), sink, "gzip")
    )
