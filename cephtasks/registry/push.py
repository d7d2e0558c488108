"""Push: send an image to a registry, and see that the registry kept it."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from cephtasks.errors import Interrupted, PushNotKept, ReferenceInvalid
from cephtasks.oci import Descriptor, Image, digest_of
from cephtasks.reference import DEFAULT_TAG, Reference
from cephtasks.registry import blobs, manifests
from cephtasks.registry.blobs import MOUNTED, PRESENT, UPLOADED
from cephtasks.registry.retries import persist
from cephtasks.registry.transport import Client
from cephtasks.registry.uploads import OnProgress, OpenBlob, Pieces, Upload, silent
from cephtasks.registry.verification import verify
from cephtasks.registry.workers import run_all

_THREADS = 4


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
    threads: int = _THREADS,
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
    _require_own_digest(reference, image)
    started = time.monotonic()
    sources, pieces = mount_from or {}, Pieces(chunk_size)
    uploads = [
        Upload(reference.repository, blob, open_blob, on_progress, sources.get(blob.digest, ""), pieces)
        for blob in _blobs(image)
    ]
    try:
        if client.dry:
            statuses = _show(client, reference, image, uploads)
        else:
            statuses = _send(client, reference, image, uploads, threads)
            if reread:
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
    wanted = tuple(blob for blob in _blobs(image) if blob.digest not in (mount_from or {}))
    _ = client.base  # one that does not answer at all is not asked again
    asked = [
        partial(persist, partial(blobs.is_present, client, reference.repository, blob)) for blob in wanted
    ]
    present = run_all(asked, _THREADS)
    return tuple(blob for blob, there in zip(wanted, present, strict=True) if not there)


def _send(
    client: Client, reference: Reference, image: Image, uploads: Sequence[Upload], threads: int
) -> dict[str, str]:
    """Send what is missing, and last the manifest; what became of each digest.

    A blob's bytes are asked for only when they are sent: a base that the registry has need not be here.
    """
    _ = client.base
    # The largest first: then no thread begins a long upload when the others are done.
    queued = sorted(uploads, key=lambda upload: -upload.blob.size)
    jobs = [partial(blobs.bring, client, upload) for upload in queued]
    done = run_all(jobs, threads)
    statuses = {upload.blob.digest: status for upload, status in zip(queued, done, strict=True)}
    if persist(partial(manifests.digest_at, client, reference)) != image.digest:
        statuses |= _name(client, reference, image, uploads)
        _require_kept(client, reference, image)
    return statuses


def _name(client: Client, reference: Reference, image: Image, uploads: Sequence[Upload]) -> dict[str, str]:
    """Put the manifest, again after sending what a registry had called present and lacks."""
    sent: dict[str, str] = {}
    while lacking := persist(partial(manifests.put, client, reference, image.manifest, image.media_type)):
        again = [
            replace(upload, source="") for upload in uploads if upload.blob.digest in lacking - sent.keys()
        ]
        if not again:
            raise PushNotKept(
                f"{reference} was not written: {client.host} says that it lacks {min(lacking)}",
                f"look at the log of {client.host}, then type the same again",
            )
        run_all([partial(blobs.deliver, client, upload) for upload in again], _THREADS)
        sent |= {upload.blob.digest: UPLOADED for upload in again}
    return sent


def _require_kept(client: Client, reference: Reference, image: Image) -> None:
    kept = persist(partial(manifests.read_back, client, reference))
    if kept != image.manifest:
        raise PushNotKept(
            f"{reference} names {digest_of(kept) if kept else 'nothing'} after the push, not {image.digest}",
            "type the same again, unless somebody else pushes there",
        )


def _require_own_digest(reference: Reference, image: Image) -> None:
    if reference.digest and reference.digest != image.digest:
        raise ReferenceInvalid(
            f"{reference} names another image than the one to push, {image.digest}",
            f"name it by tag, as {reference.name}:{reference.tag or DEFAULT_TAG}",
        )


def _show(client: Client, reference: Reference, image: Image, uploads: Sequence[Upload]) -> dict[str, str]:
    """Show the requests that would change something; what would become of each digest."""
    absent = {blob.digest for blob in missing(client, reference, image)}
    statuses = dict.fromkeys((upload.blob.digest for upload in uploads), PRESENT)
    for upload in uploads:
        if upload.blob.digest in absent:
            blobs.show(client, upload)
            statuses[upload.blob.digest] = MOUNTED if upload.source else UPLOADED
    if manifests.digest_at(client, reference) != image.digest:
        manifests.show(client, reference, image.media_type)
    return statuses


def _blobs(image: Image) -> tuple[Descriptor, ...]:
    """The config and the layers, bottom first, each once."""
    named = {blob.digest: blob for blob in (image.config_blob, *(layer.blob for layer in image.layers))}
    return tuple(named.values())


def _pushed(reference: Reference, image: Image, statuses: Mapping[str, str], seconds: float) -> Pushed:
    wanted = _blobs(image)
    sent = sum(blob.size for blob in wanted if statuses[blob.digest] == UPLOADED)
    layers = tuple(
        PushedLayer(blob.digest, blob.size, statuses[blob.digest])
        for blob in wanted
        if blob.digest != image.config_blob.digest
    )
    return Pushed(reference, image.digest, seconds, sent, layers)
