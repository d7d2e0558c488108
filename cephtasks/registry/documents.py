"""Documents: fetch the manifest or index that a name means, and of an index the manifest for a platform.

Spec: https://github.com/opencontainers/distribution-spec/blob/main/spec.md, Pulling manifests.
"""

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from cephtasks.document import OTHER_SHAPE, Child, Document
from cephtasks.errors import BlobDamaged, CephtasksError, ImageNotInRegistry
from cephtasks.oci import digest_of, is_digest
from cephtasks.platforms import Platform
from cephtasks.reference import Reference
from cephtasks.registry import manifests, troubles
from cephtasks.registry.downloads import download
from cephtasks.registry.retries import persist
from cephtasks.registry.scopes import pull_scopes
from cephtasks.registry.transport import Client


def fetch(client: Client, reference: Reference) -> Document:
    """What a tag or digest names; raises ImageNotInRegistry, and what `find` raises."""
    found = find(client, reference)
    if found is None:
        raise ImageNotInRegistry(f"{reference} is not in {client.host}", "invoke catalog")
    return found


def has(client: Client, reference: Reference) -> bool:
    """Whether a tag or digest names something; no where the registry cannot be asked."""
    try:
        return find(client, reference) is not None
    except CephtasksError:
        return False


def find(client: Client, reference: Reference) -> Document | None:
    """What a tag or digest names, or None; its bytes are those that its digest promises.

    Raises NotARegistry, BlobDamaged, and what the client raises.
    """
    _ = client.base  # one that does not answer at all is not asked again
    answer = persist(
        partial(
            client.send,
            "GET",
            manifests.target(reference),
            str(reference),
            pull_scopes(reference.repository),
            ok=(200, 404),
            headers=manifests.ACCEPT,
        )
    )
    if answer.status_code == 404:
        return None
    raw, told = answer.content, answer.headers.get("Docker-Content-Digest", "")
    try:
        content = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise troubles.not_a_registry(client.base, "its manifest is no JSON") from error
    promised = reference.digest or (told if is_digest(told) else "")
    if promised and digest_of(raw) != promised:
        raise BlobDamaged(f"{client.host} sends another manifest for {reference}", "type the same again")
    if not isinstance(content, dict):
        raise troubles.not_a_registry(client.base, "its manifest is no JSON object")
    return Document(raw, answer.headers.get("Content-Type", "").partition(";")[0].strip())


def manifest_for(client: Client, reference: Reference, found: Document, platform: Platform) -> Document:
    """The manifest that `found` is, or of an index the first one for a platform.

    Raises ImageNotInRegistry, and what `fetch` raises.
    """
    if not found.is_index:
        return found
    child = child_for(found, platform)
    if child is None:
        raise ImageNotInRegistry(f"{reference} has no image for {platform}", look(reference))
    return fetch(client, reference.with_digest(child.blob.digest))


def child_for(index: Document, platform: Platform) -> Child | None:
    """The first manifest of an index for a platform, or None."""
    fitting = (child for child in index.children if child.platform and platform.takes(child.platform))
    return next(fitting, None)


def config(client: Client, reference: Reference, manifest: Document) -> bytes:
    """The bytes of the config that a manifest names; raises ImageNotInRegistry, BlobDamaged."""
    sink = io.BytesIO()
    with shaped(reference):
        described = manifest.config
    download(client, reference.repository, described, sink)
    return sink.getvalue()


@contextmanager
def shaped(reference: Reference) -> Iterator[None]:
    """Tell documents of another shape: registries keep charts, signatures and more, as images."""
    try:
        yield
    except OTHER_SHAPE as error:
        raise ImageNotInRegistry(f"{reference} is something else than an image", look(reference)) from error


def look(reference: Reference) -> str:
    """The line that shows what a name means."""
    return f"skopeo inspect --raw docker://{reference}"
