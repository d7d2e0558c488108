"""Images: read what a name means in a registry, as an image whose layers stay there.

Spec: https://github.com/opencontainers/distribution-spec/blob/main/spec.md, Pulling manifests.
"""

import io
import json
import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from cephtasks.errors import BlobDamaged, ImageNotInRegistry
from cephtasks.oci import Descriptor, Image, digest_of, is_digest
from cephtasks.reference import Reference
from cephtasks.registry import manifests, troubles
from cephtasks.registry.downloads import download
from cephtasks.registry.retries import persist
from cephtasks.registry.scopes import pull_scopes
from cephtasks.registry.transport import Client

# What Go calls the machines that Python calls otherwise (image-index.md, Platform).
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}
_OTHER_SHAPE = (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError)


def read(client: Client, reference: Reference) -> Image:
    """The image that a tag or digest names, of several that for this machine; no layer is fetched.

    Raises ImageNotInRegistry, NotARegistry, BlobDamaged, and what the client raises.
    """
    raw, document = _manifest(client, reference)
    if isinstance(document.get("manifests"), list):
        chosen = _for_this_machine(reference, document["manifests"])
        raw, document = _manifest(client, reference.with_digest(chosen))
    if document.get("schemaVersion") == 1:
        raise ImageNotInRegistry(
            f"{reference} is an image of the old schema 1",
            f"skopeo copy --format v2s2 docker://{reference} docker://{reference}",
        )
    config = io.BytesIO()
    with _shaped(reference):
        described = Descriptor.read(document["config"])
    download(client, reference.repository, described, config)
    image = Image(raw, config.getvalue())
    with _shaped(reference):
        _require_complete(image)
    return image


def _manifest(client: Client, reference: Reference) -> tuple[bytes, dict[str, Any]]:
    """The bytes of a manifest, which are those that its digest promises, and what they say."""
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
        raise ImageNotInRegistry(f"{reference} is not in {client.host}", "invoke catalog")
    raw, told = answer.content, answer.headers.get("Docker-Content-Digest", "")
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise troubles.not_a_registry(client.base, "its manifest is no JSON") from error
    promised = reference.digest or (told if is_digest(told) else "")
    if promised and digest_of(raw) != promised:
        raise BlobDamaged(f"{client.host} sends another manifest for {reference}", "type the same again")
    if not isinstance(document, dict):
        raise troubles.not_a_registry(client.base, "its manifest is no JSON object")
    return raw, document


def _for_this_machine(reference: Reference, listed: Sequence[Any]) -> str:
    """The digest of the manifest for Linux on a machine such as this one."""
    machine = platform.machine()
    wanted = {"os": "linux", "architecture": _ARCHITECTURES.get(machine, machine)}
    for item in listed:
        try:
            if wanted.items() <= item["platform"].items() and is_digest(item["digest"]):
                return str(item["digest"])
        except _OTHER_SHAPE:
            continue  # an entry need not say for what machine it is, and some are no images
    raise ImageNotInRegistry(
        f"{reference} has no image for {wanted['os']}/{wanted['architecture']}", _look(reference)
    )


def _require_complete(image: Image) -> None:
    """See that all that is read later is there; raises one of _OTHER_SHAPE where it is not."""
    _ = image.layers, image.labels
    if not all(map(is_digest, image.diff_ids)):
        raise ValueError("a diff id is no digest")


@contextmanager
def _shaped(reference: Reference) -> Iterator[None]:
    """Tell documents of another shape: registries keep charts, signatures and more, as images."""
    try:
        yield
    except _OTHER_SHAPE as error:
        raise ImageNotInRegistry(f"{reference} is something else than an image", _look(reference)) from error


def _look(reference: Reference) -> str:
    return f"skopeo inspect --raw docker://{reference}"
