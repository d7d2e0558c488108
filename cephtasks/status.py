"""Status: tell what an image is made of, and what a push of it would send."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cephtasks import oci, registry
from cephtasks.errors import CephtasksError, ImageNotPacked
from cephtasks.intake import Stock
from cephtasks.pack import BASE_NAME
from cephtasks.previous import BASE_ID, stack_of
from cephtasks.reference import parse
from cephtasks.settings import Settings
from cephtasks.stack import Share, shares


@dataclass(frozen=True)
class LayerStatus:
    """A layer above the base: its blob, and what is in it."""

    blob: oci.Descriptor
    share: Share

    def document(self) -> dict[str, Any]:
        """The layer as `status --json` prints it; sizes in bytes."""
        return {
            "digest": self.blob.digest,
            "size": self.blob.size,
            "files": self.share.files,
            "component": self.share.component,
            "content_bytes": self.share.content_bytes,
            "shadowed_bytes": self.share.shadowed_bytes,
        }


@dataclass(frozen=True)
class Outlook:
    """What a push to `target` would send, in blobs and bytes; or why that is not known."""

    target: str
    blobs: int = 0
    bytes: int = 0
    unknown: str = ""

    def document(self) -> dict[str, Any]:
        """The outlook as `status --json` prints it."""
        if self.unknown:
            return {"target": self.target, "unknown": self.unknown}
        return {"target": self.target, "blobs": self.blobs, "bytes": self.bytes}


@dataclass(frozen=True)
class Status:
    """An image, its base, its layers above that from top to bottom, and what a push would send."""

    image: str
    id: str
    base: str
    base_layers: int
    layers: Sequence[LayerStatus]
    push: Outlook

    @property
    def live_bytes(self) -> int:
        """Bytes of content that a container sees of the layers above the base."""
        return sum(item.share.content_bytes for item in self.layers) - self.garbage_bytes

    @property
    def garbage_bytes(self) -> int:
        """Bytes of content that no container sees."""
        return sum(item.share.shadowed_bytes for item in self.layers)

    def document(self) -> dict[str, Any]:
        """The status as `status --json` prints it."""
        return {
            "image": self.image,
            "id": self.id,
            "base": self.base,
            "base_layers": self.base_layers,
            "layers": [item.document() for item in self.layers],
            "live_bytes": self.live_bytes,
            "garbage_bytes": self.garbage_bytes,
            "push": self.push.document(),
        }


def read(settings: Settings, stock: Stock) -> Status:
    """The status of IMAGE_NAME as the store has it; neither engine nor registry need be there.

    Raises ImageNotPacked, BlobDamaged, StoreFailed.
    """
    store = stock.store
    image = store.require_image(settings.image_name)
    base = store.image(image.labels.get(BASE_ID, ""))
    if base is None:
        fact = f"{settings.image_name} was packed on a base that is not known here"
        raise ImageNotPacked(fact, "invoke pack")
    stack = stack_of(stock, image, base).layers
    blobs = [item.blob for item in image.layers[len(base.layers) :]]
    layers = [LayerStatus(*pair) for pair in zip(blobs, shares(store.files(base), stack), strict=False)]
    return Status(
        settings.image_name,
        image.id,
        image.labels.get(BASE_NAME, ""),
        len(base.layers),
        tuple(reversed(layers)),
        _outlook(settings, stock, image),
    )


def _outlook(settings: Settings, stock: Stock, image: oci.Image) -> Outlook:
    target = parse(settings.target)
    try:
        mounts = stock.store.repositories_at(target.registry)
        missing = registry.missing(stock.connect(target.registry), target, image, mounts)
    except CephtasksError as error:
        return Outlook(str(target), unknown=error.fact)
    return Outlook(str(target), len(missing), sum(blob.size for blob in missing))
