"""Deletion: take a tag, or a manifest with all its tags, out of a repository.

Spec: https://github.com/opencontainers/distribution-spec/blob/main/spec.md, Content Management.
"""

import io
import threading
from functools import partial

from cephtasks import console
from cephtasks.errors import DeletesDisabled, ImageNotInRegistry, RegistryRefused, TagsWouldGo
from cephtasks.oci import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, Descriptor, digest_of, encode
from cephtasks.reference import Reference
from cephtasks.registry import blobs, manifests
from cephtasks.registry.contents import contents
from cephtasks.registry.documents import fetch
from cephtasks.registry.retries import persist
from cephtasks.registry.scopes import delete_scopes
from cephtasks.registry.transport import Client
from cephtasks.registry.uploads import Upload, silent

_DELETED = (200, 202, 204)
_EMPTY = b"{}"
# What registries answer that delete by digest alone: distribution 2.8, and others by the specification.
_NOT_BY_TAG = frozenset({400, 404, 405, 501})


def delete_tag(client: Client, reference: Reference) -> None:
    """Take a tag away, and leave what it names to its other tags.

    Raises ImageNotInRegistry, also where `reference` has a digest and the tag names another one,
    DeletesDisabled, and what the client raises.
    """
    found = fetch(client, Reference(reference.registry, reference.repository, reference.tag))
    if reference.digest and found.digest != reference.digest:
        fact = f"{reference.name}:{reference.tag} names {found.digest}, not {reference.digest}"
        raise ImageNotInRegistry(fact, f"invoke registry.inspect {reference.name}:{reference.tag}")
    tag = Reference(reference.registry, reference.repository, reference.tag)
    if client.dry:
        client.show("DELETE", manifests.target(tag))
        return
    try:
        _delete(client, tag)
    except RegistryRefused as error:
        if error.status not in _NOT_BY_TAG:
            raise
        _replace_and_delete(client, tag)


def delete_digest(client: Client, reference: Reference, confirmed: bool) -> None:
    """Take away the manifest of a digest, if `confirmed` also where tags lead to it, which are told.

    Raises TagsWouldGo, ImageNotInRegistry, DeletesDisabled, and what the client raises.
    """
    (held,) = contents(client, [reference.repository])
    tags = held.tags_over(reference.digest or "")
    if tags and not confirmed:
        raise TagsWouldGo(
            f"tags of {reference.name} lead to {reference.digest}: {', '.join(tags)}",
            f"invoke registry.delete {reference} --yes",
        )
    delete_manifest(client, reference)
    if tags:
        console.say(f"tags that led to it: {', '.join(tags)}")


def delete_manifest(client: Client, reference: Reference) -> None:
    """Take away the manifest of a digest, and with it all tags that name it.

    Raises ImageNotInRegistry, DeletesDisabled, and what the client raises.
    """
    if client.dry:
        client.show("DELETE", manifests.target(reference))
        return
    try:
        _delete(client, reference)
    except RegistryRefused as error:
        if error.status == 405:
            raise _disabled(client) from error
        if error.status == 404:
            raise ImageNotInRegistry(f"{reference} is not in {client.host}", "invoke catalog") from error
        raise


def _replace_and_delete(client: Client, tag: Reference) -> None:
    """Have the tag name a manifest of its own, and delete that: where only digests can be deleted.

    That very manifest is used again where this was interrupted. Whether anything can be deleted is found
    out before the tag is touched.
    """
    config = encode(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Labels": {"cephtasks.deleted": str(tag)}},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(_EMPTY)]},
        }
    )
    contents = {digest_of(raw): raw for raw in (config, _EMPTY)}
    described = [
        Descriptor(kind, digest, len(raw))
        for kind, (digest, raw) in zip((OCI_CONFIG, OCI_LAYER), contents.items(), strict=True)
    ]
    stand_in = encode(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": described[0].document(),
            "layers": [described[1].document()],
        }
    )
    own = tag.with_digest(digest_of(stand_in))
    _require_deletes(client, own)
    for blob in described:
        upload = Upload(tag.repository, blob, lambda digest: io.BytesIO(contents[digest]), silent)
        blobs.bring(client, upload, threading.Event())
    persist(partial(manifests.put, client, tag, stand_in, OCI_MANIFEST))
    delete_manifest(client, own)


def _require_deletes(client: Client, absent: Reference) -> None:
    """See that the registry deletes, by a manifest that need not be there."""
    try:
        _delete(client, absent)
    except RegistryRefused as error:
        if error.status == 405:
            raise _disabled(client) from error
        if error.status != 404:
            raise


def _delete(client: Client, reference: Reference) -> None:
    scopes = delete_scopes(reference.repository)
    persist(partial(client.send, "DELETE", manifests.target(reference), str(reference), scopes, ok=_DELETED))


def _disabled(client: Client) -> DeletesDisabled:
    return DeletesDisabled(
        f"{client.host} has deleting switched off",
        "storage: {delete: {enabled: true}} in the registry's config, and start it anew",
    )
