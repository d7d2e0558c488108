"""Manifests: name an image in a repository, and read back what a name means.

Spec: https://github.com/opencontainers/distribution-spec/blob/main/spec.md, Pushing Manifests.
"""

from cephtasks.oci import DOCKER_INDEX, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, digest_of
from cephtasks.reference import Reference
from cephtasks.registry import troubles
from cephtasks.registry.scopes import push_scopes
from cephtasks.registry.transport import Client

# All of them: a registry may convert a manifest for who accepts only another type.
ACCEPT = {"Accept": ", ".join((OCI_MANIFEST, DOCKER_MANIFEST, OCI_INDEX, DOCKER_INDEX))}


def digest_at(client: Client, reference: Reference) -> str | None:
    """The digest of the manifest that a tag or digest names in the registry; None where it names none."""
    answer = client.send(
        "HEAD", target(reference), str(reference), push_scopes(reference.repository), (200, 404), ACCEPT
    )
    if answer.status_code == 404:
        return None
    told = answer.headers.get("Docker-Content-Digest")
    if told:
        return told
    manifest = read_back(client, reference)
    return None if manifest is None else digest_of(manifest)


def read_back(client: Client, reference: Reference) -> bytes | None:
    """The bytes of the manifest that a tag or digest names in the registry; None where it names none."""
    answer = client.send(
        "GET", target(reference), str(reference), push_scopes(reference.repository), (200, 404), ACCEPT
    )
    return answer.content if answer.status_code == 200 else None


def put(client: Client, reference: Reference, manifest: bytes, media_type: str) -> frozenset[str]:
    """Name what a manifest or index tells of, which is there; nothing, or the digests that are lacking."""
    answer = client.send(
        "PUT",
        target(reference),
        str(reference),
        push_scopes(reference.repository),
        ok=(200, 201, 202, 400, 404),
        headers={"Content-Type": media_type},
        body=manifest,
        body_name="manifest.json",
    )
    lacking = troubles.blobs_unknown(answer)
    if answer.status_code in (400, 404) and not lacking:
        raise troubles.from_answer(client.host, str(reference), answer)
    return lacking


def show(client: Client, reference: Reference, media_type: str) -> None:
    """Show the request that would put a manifest."""
    client.show("PUT", target(reference), {"Content-Type": media_type}, body_name="manifest.json")


def target(reference: Reference) -> str:
    """The path of a manifest in its registry."""
    return f"/v2/{reference.repository}/manifests/{reference.target}"
