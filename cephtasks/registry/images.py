"""Images: read what a name means in a registry, as an image whose layers stay there."""

from cephtasks import platforms
from cephtasks.errors import ImageNotInRegistry
from cephtasks.oci import Image, is_digest
from cephtasks.reference import Reference
from cephtasks.registry import documents
from cephtasks.registry.transport import Client


def resolve(client: Client, reference: Reference) -> str:
    """The digest that a name has in the registry: of an image, or of an index of several.

    Raises ImageNotInRegistry, NotARegistry, BlobDamaged, and what the client raises.
    """
    return documents.fetch(client, reference).digest


def read(client: Client, reference: Reference) -> Image:
    """The image that a tag or digest names, of several that for this machine; no layer is fetched.

    Raises ImageNotInRegistry, NotARegistry, BlobDamaged, and what the client raises.
    """
    found = documents.fetch(client, reference)
    manifest = documents.manifest_for(client, reference, found, platforms.this_machine())
    if manifest.content.get("schemaVersion") == 1:
        raise ImageNotInRegistry(
            f"{reference} is an image of the old schema 1",
            f"skopeo copy --format v2s2 docker://{reference} docker://{reference}",
        )
    image = Image(manifest.raw, documents.config(client, reference, manifest))
    with documents.shaped(reference):
        _require_complete(image)
    return image


def _require_complete(image: Image) -> None:
    """See that all that is read later is there; raises one of OTHER_SHAPE where it is not."""
    _ = image.layers, image.labels
    if not all(map(is_digest, image.diff_ids)):
        raise ValueError("a diff id is no digest")
