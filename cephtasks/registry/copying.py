"""Copying: bring an image from one repository to another, byte for byte, without keeping it here."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import IO, Any

from cephtasks.document import Document
from cephtasks.errors import Interrupted
from cephtasks.oci import Descriptor
from cephtasks.platforms import Platform
from cephtasks.reference import Reference
from cephtasks.registry import documents
from cephtasks.registry.fanout import each
from cephtasks.registry.sending import require_own_digest, send, uploaded_bytes
from cephtasks.registry.streams import stream
from cephtasks.registry.transport import Client
from cephtasks.registry.uploads import OnProgress, Pieces, Upload, silent


@dataclass(frozen=True)
class CopiedBlob:
    """What became of a blob (size in bytes): `uploaded`, `mounted` or `present`."""

    digest: str
    size: int
    status: str


@dataclass(frozen=True)
class Copied:
    """What a copy did: from where to where, the digest, how long it took, what was sent, each blob once.

    After a dry run it tells what would have been done.
    """

    source: Reference
    reference: Reference
    digest: str
    seconds: float
    uploaded_bytes: int
    blobs: tuple[CopiedBlob, ...]

    @property
    def by_digest(self) -> str:
        """The name that was given, with the digest that it has."""
        return str(replace(self.reference, digest=self.digest))

    def document(self) -> dict[str, Any]:
        """The result as `registry.copy --json` prints it."""
        return {
            "source": str(self.source),
            "reference": str(self.reference),
            "digest": self.digest,
            "seconds": round(self.seconds, 3),
            "uploaded_bytes": self.uploaded_bytes,
            "blobs": [vars(blob) for blob in self.blobs],
        }


def copy(
    source: Client,
    origin: Reference,
    target: Client,
    reference: Reference,
    platform: Platform | None = None,
    on_progress: OnProgress = silent,
) -> Copied:
    """Copy what `origin` names at `source`: an index with all that it names, or of that one platform.

    The blobs go from one registry to the other as they are read; within a registry they are mounted.
    Raises ReferenceInvalid, ImageNotInRegistry, BlobDamaged, UploadLost, PushNotKept, Interrupted, and
    what the clients raise.
    """
    started = time.monotonic()
    try:
        named = documents.fetch(source, origin)
        if platform:
            named = documents.manifest_for(source, origin, named, platform)
        require_own_digest(reference, named.digest)
        below_first = _with_children(source, origin, named)
        blobs = _blobs(origin, below_first)
        by_digest = {blob.digest: blob for blob in blobs}

        def open_blob(digest: str) -> IO[bytes]:
            return stream(source, origin.repository, by_digest[digest])

        mounted_from = origin.repository if origin.registry == reference.registry else ""
        pieces = Pieces()  # one blob learns for all how much a proxy takes at once
        uploads = [
            Upload(reference.repository, blob, open_blob, on_progress, mounted_from, pieces) for blob in blobs
        ]
        statuses = send(target, reference, below_first, uploads)
    except KeyboardInterrupt as error:
        raise Interrupted(
            f"the copy to {reference} was stopped; the registry keeps the blobs that were through",
            "type the same again, it sends only the rest",
        ) from error
    return Copied(
        origin,
        reference,
        named.digest,
        time.monotonic() - started,
        uploaded_bytes(blobs, statuses),
        tuple(CopiedBlob(blob.digest, blob.size, statuses[blob.digest]) for blob in blobs),
    )


def _with_children(source: Client, origin: Reference, named: Document) -> Sequence[Document]:
    """A manifest or an index, last, after all that it names, each once: the deepest first."""
    levels = [[named]]
    while digests := {child.blob.digest: None for document in levels[-1] for child in document.children}:
        references = [origin.with_digest(digest) for digest in digests]
        levels.append(list(each(lambda reference: documents.fetch(source, reference), references)))
    ordered: dict[str, Document] = {}
    for document in (document for level in reversed(levels) for document in level):
        ordered.setdefault(document.digest, document)
    return list(ordered.values())


def _blobs(origin: Reference, found: Sequence[Document]) -> Sequence[Descriptor]:
    with documents.shaped(origin):
        named = [blob for document in found for blob in document.blobs]
    return list({blob.digest: blob for blob in named}.values())
