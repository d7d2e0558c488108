"""Pushing: send an image to a registry, and see that the registry kept it."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cephtasks.document import Document
from cephtasks.errors import Interrupted
from cephtasks.oci import Descriptor, Image
from cephtasks.reference import Reference
from cephtasks.registry.sending import THREADS, absent, require_own_digest, send, uploaded_bytes
from cephtasks.registry.transport import Client
from cephtasks.registry.uploads import OnProgress, OpenBlob, Pieces, Upload, silent
from cephtasks.registry.verification import verify


@dataclass(frozen=True)
class PushedLayer:
    """What became of a layer's blob (size in bytes): `uploaded`, `mounted` or `present`."""

    digest: str
    size: int
    status: str


@dataclass(frozen=True)
class Pushed:
    """What a push did: where to, the manifest's digest, how long it took, what was sent, each layer once.

    After a dry run it tells what would have been done.
    """

    reference: Reference
    digest: str
    seconds: float
    uploaded_bytes: int
    layers: tuple[PushedLayer, ...]

    @property
    def by_digest(self) -> Reference:
        """The reference that names this very image, whatever happens to the tag."""
        return self.reference.with_digest(self.digest)

    def document(self) -> dict[str, Any]:
        """The result as `push --json` prints it."""
        layers = [{"digest": item.digest, "size": item.size, "status": item.status} for item in self.layers]
        return {
            "reference": str(self.reference),
            "digest": self.digest,
            "seconds": round(self.seconds, 3),
            "uploaded_bytes": self.uploaded_bytes,
            "layers": layers,
        }


def push(
    client: Client,
    reference: Reference,
    image: Image,
    open_blob: OpenBlob,
    on_progress: OnProgress = silent,
    *,
    mount_from: Mapping[str, str] | None = None,
    threads: int = THREADS,
    chunk_size: int = 0,
    reread: bool = False,
) -> Pushed:
    """Bring an image into a registry: the blobs that it lacks, then the manifest, then a look at the tag.

    `open_blob` gives a blob's bytes by digest, `on_progress` gets name, bytes done, bytes in all and a
    note, from `threads` threads, `mount_from` names for a digest a repository of the same registry that
    has it, `chunk_size` is how many bytes one request may carry (0: any number), with `reread` every blob
    is read back in the end. Raises ReferenceInvalid, BlobDamaged, UploadLost, PushNotKept, Interrupted, and
    what the client raises.
    """
    require_own_digest(reference, image.digest)
    started = time.monotonic()
    sources, pieces = mount_from or {}, Pieces(chunk_size)
    uploads = [
        Upload(reference.repository, blob, open_blob, on_progress, sources.get(blob.digest, ""), pieces)
        for blob in _blobs(image)
    ]
    try:
        statuses = send(client, reference, [Document(image.manifest)], uploads, threads)
        if reread and not client.dry:
            verify(client, reference, _blobs(image), on_progress, threads)
    except KeyboardInterrupt as error:
        raise Interrupted(
            f"push to {reference} was stopped; the registry keeps the blobs that were through",
            "type the same again, it sends only the rest",
        ) from error
    return _pushed(reference, image, statuses, time.monotonic() - started)


def missing(
    client: Client, reference: Reference, image: Image, mount_from: Mapping[str, str] | None = None
) -> tuple[Descriptor, ...]:
    """The blobs, config and layers, that a push with this `mount_from` would send.

    A mount may fail, and the push then send what was to be mounted. Raises what the client raises.
    """
    wanted = [blob for blob in _blobs(image) if blob.digest not in (mount_from or {})]
    return absent(client, reference.repository, wanted)


def _blobs(image: Image) -> tuple[Descriptor, ...]:
    """The config and the layers, bottom first, each once."""
    named = {blob.digest: blob for blob in (image.config_blob, *(layer.blob for layer in image.layers))}
    return tuple(named.values())


def _pushed(reference: Reference, image: Image, statuses: Mapping[str, str], seconds: float) -> Pushed:
    wanted = _blobs(image)
    layers = tuple(
        PushedLayer(blob.digest, blob.size, statuses[blob.digest])
        for blob in wanted
        if blob.digest != image.config_blob.digest
    )
    return Pushed(reference, image.digest, seconds, uploaded_bytes(wanted, statuses), layers)
