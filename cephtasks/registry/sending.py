"""Sending: bring into a repository the blobs that it lacks, and the manifests over them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from cephtasks.document import Document
from cephtasks.errors import PushNotKept, ReferenceInvalid
from cephtasks.jobs import run_all
from cephtasks.oci import Descriptor, digest_of
from cephtasks.reference import DEFAULT_TAG, Reference
from cephtasks.registry import blobs, manifests
from cephtasks.registry.blobs import MOUNTED, PRESENT, UPLOADED
from cephtasks.registry.retries import persist
from cephtasks.registry.transport import Client
from cephtasks.registry.uploads import Upload

THREADS = 4


def send(
    client: Client,
    reference: Reference,
    documents: Sequence[Document],
    uploads: Sequence[Upload],
    threads: int = THREADS,
) -> dict[str, str]:
    """Send the blobs that are missing, then the manifests in their order; what became of each blob.

    The last of the documents gets the name, those before it are what it names, known by their digests.
    A blob's bytes are asked for only when they are sent: a base that the registry has need not be here.
    With a client that is `dry` the requests that would change something are shown.
    Raises BlobDamaged, UploadLost, PushNotKept, and what the client raises.
    """
    _ = client.base  # one that does not answer at all is not asked again
    if client.dry:
        return _show(client, reference, documents, uploads)
    # The largest first: then no thread begins a long upload when the others are done.
    queued = sorted(uploads, key=lambda upload: -upload.blob.size)
    done = run_all([partial(blobs.bring, client, upload) for upload in queued], threads)
    statuses = {upload.blob.digest: status for upload, status in zip(queued, done, strict=True)}
    for name, document in _named(reference, documents):
        if persist(partial(manifests.digest_at, client, name)) != document.digest:
            statuses |= _put(client, name, document, uploads)
            _require_kept(client, name, document)
    return statuses


def absent(client: Client, repository: str, wanted: Sequence[Descriptor]) -> tuple[Descriptor, ...]:
    """The blobs that a repository lacks; raises what the client raises."""
    _ = client.base
    asked = [partial(persist, partial(blobs.is_present, client, repository, blob)) for blob in wanted]
    there = run_all(asked, THREADS)
    return tuple(blob for blob, present in zip(wanted, there, strict=True) if not present)


def require_own_digest(reference: Reference, digest: str) -> None:
    """See that a reference with a digest names what is to be sent there; raises ReferenceInvalid."""
    if reference.digest and reference.digest != digest:
        raise ReferenceInvalid(
            f"{reference} names another image than the one to push, {digest}",
            f"name it by tag, as {reference.name}:{reference.tag or DEFAULT_TAG}",
        )


def uploaded_bytes(wanted: Sequence[Descriptor], statuses: Mapping[str, str]) -> int:
    """The bytes of the blobs that had to be uploaded."""
    return sum(blob.size for blob in wanted if statuses[blob.digest] == UPLOADED)


def _named(reference: Reference, documents: Sequence[Document]) -> Sequence[tuple[Reference, Document]]:
    *below, top = documents
    return [*((reference.with_digest(document.digest), document) for document in below), (reference, top)]


def _put(
    client: Client, reference: Reference, document: Document, uploads: Sequence[Upload]
) -> dict[str, str]:
    """Put a manifest, again after sending what a registry had called present and lacks."""
    sent: dict[str, str] = {}
    put = partial(manifests.put, client, reference, document.raw, document.media_type)
    while lacking := persist(put):
        again = [
            replace(upload, source="") for upload in uploads if upload.blob.digest in lacking - sent.keys()
        ]
        if not again:
            raise PushNotKept(
                f"{reference} was not written: {client.host} says that it lacks {min(lacking)}",
                f"look at the log of {client.host}, then type the same again",
            )
        run_all([partial(blobs.deliver, client, upload) for upload in again], THREADS)
        sent |= {upload.blob.digest: UPLOADED for upload in again}
    return sent


def _require_kept(client: Client, reference: Reference, document: Document) -> None:
    kept = persist(partial(manifests.read_back, client, reference))
    if kept != document.raw:
        found = digest_of(kept) if kept else "nothing"
        raise PushNotKept(
            f"{reference} names {found} after the push, not {document.digest}",
            "type the same again, unless somebody else pushes there",
        )


def _show(
    client: Client, reference: Reference, documents: Sequence[Document], uploads: Sequence[Upload]
) -> dict[str, str]:
    """Show the requests that would change something; what would become of each blob."""
    missing = absent(client, reference.repository, [upload.blob for upload in uploads])
    statuses = dict.fromkeys((upload.blob.digest for upload in uploads), PRESENT)
    for upload in uploads:
        if upload.blob in missing:
            blobs.show(client, upload)
            statuses[upload.blob.digest] = MOUNTED if upload.source else UPLOADED
    for name, document in _named(reference, documents):
        if manifests.digest_at(client, name) != document.digest:
            manifests.show(client, name, document.media_type)
    return statuses
