"""Contents: what repositories hold: tags, the manifests that they lead to, and the blobs of these."""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

from cephtasks.document import OTHER_SHAPE, Document
from cephtasks.oci import Descriptor
from cephtasks.reference import Reference
from cephtasks.registry.documents import find
from cephtasks.registry.fanout import each
from cephtasks.registry.tags import tags_of
from cephtasks.registry.transport import Client

_BATCH = 32  # repositories whose manifests are known at once, however many there are


@dataclass(frozen=True)
class Contents:
    """A repository's tags, sorted, each with a digest, and manifests by their digests.

    The manifests are those that tags name, and those that indexes among them name.
    """

    repository: str
    tags: Mapping[str, str]
    manifests: Mapping[str, Document]

    @property
    def blobs(self) -> Mapping[str, int]:
        """The size in bytes of each blob, manifests too, by digest."""
        sizes = {digest: len(document.raw) for digest, document in self.manifests.items()}
        for document in self.manifests.values():
            sizes.update((blob.digest, blob.size) for blob in _blobs(document))
        return sizes

    @property
    def bytes(self) -> int:
        """The bytes of all blobs."""
        return sum(self.blobs.values())

    def only(self, digests: Container[str]) -> "Contents":
        """The same, with only the manifests of these digests."""
        kept = {digest: document for digest, document in self.manifests.items() if digest in digests}
        return replace(self, manifests=kept)

    def tags_over(self, digest: str) -> Sequence[str]:
        """The tags that name a manifest, or an index that names it."""
        over = {digest}
        while further := {
            other
            for other, document in self.manifests.items()
            if other not in over and any(child.blob.digest in over for child in document.children)
        }:
            over |= further
        return [tag for tag, named in self.tags.items() if named in over]


def contents(client: Client, repositories: Iterable[str]) -> Iterator[Contents]:
    """What each repository holds; a tag that goes meanwhile, or a manifest that is not there, is left out.

    Raises NotARegistry, BlobDamaged, and what the client raises.
    """
    remaining = iter(repositories)
    while batch := list(islice(remaining, _BATCH)):
        yield from _read(client, batch)


def _read(client: Client, repositories: Sequence[str]) -> Iterator[Contents]:
    """The tags of all, then all that these name, then all that indexes among that name: each side by side."""
    listed = tags_of(client, repositories)
    named = (Reference(client.host, repository, tag) for repository, names in listed for tag in names)
    tagged = _found(client, named)
    latest = {reference.with_digest(document.digest): document for reference, document in tagged.items()}
    manifests = dict(latest)
    while wanted := _named(latest) - manifests.keys():
        latest = _found(client, sorted(wanted, key=str))
        manifests.update(latest)
    for repository in repositories:
        yield Contents(
            repository,
            {at.tag or "": found.digest for at, found in tagged.items() if at.repository == repository},
            {found.digest: found for at, found in manifests.items() if at.repository == repository},
        )


def _named(found: Mapping[Reference, Document]) -> set[Reference]:
    """What the indexes among these name."""
    return {
        at.with_digest(child.blob.digest) for at, document in found.items() for child in document.children
    }


def _found(client: Client, references: Iterable[Reference]) -> dict[Reference, Document]:
    """What these references name, without those that name nothing."""
    asked = list(references)
    answers = zip(asked, each(partial(find, client), asked), strict=True)
    return {reference: document for reference, document in answers if document}


def _blobs(document: Document) -> Sequence[Descriptor]:
    """The blobs of a manifest; none where it is of another shape and does not tell their sizes."""
    try:
        return document.blobs
    except OTHER_SHAPE:
        return ()
