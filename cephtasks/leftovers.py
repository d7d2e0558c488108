"""Leftovers: find what is left of earlier images in the store and in the engine, and remove it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cephtasks import console
from cephtasks.engine import Engine
from cephtasks.errors import EngineRefused
from cephtasks.oci import is_digest
from cephtasks.previous import BASE_ID
from cephtasks.store import Store

# What is younger may be of an image that somebody is just putting together.
_AGE = 3600.0  # seconds


@dataclass(frozen=True)
class Leftovers:
    """Bases that no image of the store names, files that none needs, and images of the engine without a name.

    `bytes` is what the files take on the disk.
    """

    bases: tuple[str, ...]
    files: tuple[Path, ...]
    bytes: int
    images: tuple[str, ...]

    def document(self, removed: bool) -> dict[str, Any]:
        """As `prune --json` prints it."""
        return {
            "bytes": self.bytes,
            "files": len(self.files),
            "bases": list(self.bases),
            "images": list(self.images),
            "removed": removed,
        }


def find(store: Store, engine: Engine) -> Leftovers:
    """What is left of images that have lost their names, by another pack of the same name for one.

    Raises BlobDamaged, StoreFailed, EngineRefused.
    """
    newest = time.time() - _AGE

    def is_old(path: Path) -> bool:
        return path.stat().st_mtime < newest

    images = {name: store.require_image(name) for name in store.names()}
    needed = {
        name for name, image in images.items() if not is_digest(name) or not is_old(store.path(image.digest))
    }
    while more := {images[name].labels.get(BASE_ID, "") for name in needed} & images.keys() - needed:
        needed |= more
    files = tuple(filter(is_old, store.besides(images[name] for name in needed)))
    size = sum(path.stat().st_size for path in files)
    return Leftovers(tuple(images.keys() - needed), files, size, engine.unnamed(BASE_ID))


def remove(found: Leftovers, store: Store, engine: Engine) -> Sequence[str]:
    """Remove them; the images of the engine that stay, as a container uses them. Raises StoreFailed."""
    if not engine.dry:
        store.forget(found.bases, found.files)
    stay = []
    for image in found.images:
        try:
            engine.untag(image)
        except EngineRefused as error:
            console.warn(error.fact)
            stay.append(image)
    return stay
