"""Images: read an image of a registry, its manifest and config, and its blobs in whole or in part.

Spec: https://github.com/opencontainers/distribution-spec/blob/main/spec.md, Pulling manifests and blobs.
"""

import hashlib
import json
import platform
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import IO, Any

import requests

from cephtasks.errors import BlobDamaged, ImageNotInRegistry
from cephtasks.oci import DOCKER_INDEX, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, Descriptor, Image, digest_of
from cephtasks.reference import Reference
from cephtasks.registry import troubles
from cephtasks.registry.retries import persist
from cephtasks.registry.transport import Client

_ACCEPT = {"Accept": ", ".join((OCI_MANIFEST, DOCKER_MANIFEST, OCI_INDEX, DOCKER_INDEX))}
_REDIRECTS = (301, 302, 303, 307, 308)
_MOST_REDIRECTS = 5
_CHUNK = 1 << 20
# What Go calls the machines that Python calls otherwise (image-index.md, Platform).
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}


def read(client: Client, reference: Reference) -> Image:
    """The image that a tag or digest names, of several that for this machine; no layer is fetched.

    Raises ImageNotInRegistry, NotARegistry, BlobDamaged, and what the client raises.
    """
    raw = _manifest(client, reference)
    document = _parsed(client, raw)
    if isinstance(document.get("manifests"), list):
        raw = _manifest(client, reference.with_digest(_for_this_machine(client, reference, document)))
        document = _parsed(client, raw)
    try:
        config = Descriptor.read(document["config"])
        image = Image(raw, _small_blob(client, reference.repository, config))
        if len(image.layers) != len(image.diff_ids):
            raise ValueError("layers and diff ids are not as many")
    except (ValueError, KeyError, TypeError) as error:
        why = f"{reference} is no image of schema 2 ({error})"
        raise troubles.not_a_registry(client.base, why) from error
    return image


def ranges(client: Client, repository: str, digest: str) -> Callable[[int, int], bytes]:
    """What reads `length` bytes of a blob from `offset`, and fewer where it ends before."""

    def read_range(offset: int, length: int) -> bytes:
        wanted = {"Range": f"bytes={offset}-{offset + length - 1}"}
        with closing(_blob(client, repository, digest, wanted)) as answer:
            if answer.status_code == 416:
                return b""
            skip = offset if answer.status_code == 200 else 0  # a server need not know of ranges
            return _taken(_content(client, answer), skip, length)

    return lambda offset, length: persist(lambda: read_range(offset, length))


def download(client: Client, repository: str, blob: Descriptor, sink: IO[bytes]) -> None:
    """Write a blob to `sink`; after a cut it goes on where it was.

    Raises BlobDamaged where the bytes are not those that the descriptor promises.
    """
    digest, done = hashlib.sha256(), 0

    def go_on() -> None:
        nonlocal done
        wanted = {"Range": f"bytes={done}-"} if done else {}
        with closing(_blob(client, repository, blob.digest, wanted)) as answer:
            skip = done if answer.status_code == 200 else 0
            for chunk in _content(client, answer):
                fresh = chunk[skip:]
                skip -= min(skip, len(chunk))
                digest.update(fresh)
                sink.write(fresh)
                done += len(fresh)

    persist(go_on)
    if f"sha256:{digest.hexdigest()}" != blob.digest:
        fact = f"{client.host} sends other bytes for blob {blob.digest} of {repository}"
        raise BlobDamaged(fact, "type the same again")


def _manifest(client: Client, reference: Reference) -> bytes:
    target = f"/v2/{reference.repository}/manifests/{reference.target}"
    answer = client.send("GET", target, str(reference), _scopes(reference.repository), (200, 404), _ACCEPT)
    if answer.status_code == 404:
        raise ImageNotInRegistry(f"{reference} is not in the registry", "invoke catalog")
    promised = reference.digest or answer.headers.get("Docker-Content-Digest")
    if promised and digest_of(answer.content) != promised:
        raise BlobDamaged(f"{client.host} sends another manifest for {reference}", "type the same again")
    return answer.content


def _parsed(client: Client, raw: bytes) -> dict[str, Any]:
    try:
        document = json.loads(raw)
        if isinstance(document, dict):
            return document
    except (ValueError, RecursionError):
        pass  # it is told below, as any other thing that is no manifest
    raise troubles.not_a_registry(client.base, "its manifest is no JSON object")


def _for_this_machine(client: Client, reference: Reference, index: dict[str, Any]) -> str:
    machine = platform.machine()
    wanted = ("linux", _ARCHITECTURES.get(machine, machine))
    for item in index["manifests"]:
        found = item.get("platform") or {}
        if (found.get("os"), found.get("architecture")) == wanted:
            return str(item["digest"])
    raise ImageNotInRegistry(
        f"{reference} has no image for {'/'.join(wanted)}", f"skopeo inspect --raw docker://{reference}"
    )


def _small_blob(client: Client, repository: str, blob: Descriptor) -> bytes:
    with closing(_blob(client, repository, blob.digest, {})) as answer:
        raw = b"".join(_content(client, answer))
    if digest_of(raw) != blob.digest:
        fact = f"{client.host} sends other bytes for blob {blob.digest} of {repository}"
        raise BlobDamaged(fact, "type the same again")
    return raw


def _blob(client: Client, repository: str, digest: str, headers: dict[str, str]) -> requests.Response:
    """A blob's answer, wherever the registry keeps it; a login never goes to another host."""
    target, ok = f"/v2/{repository}/blobs/{digest}", (200, 206, 416, *_REDIRECTS)
    for _ in range(_MOST_REDIRECTS):
        answer = client.send("GET", target, f"blob {digest}", _scopes(repository), ok, headers, stream=True)
        if answer.status_code not in _REDIRECTS:
            return answer
        answer.close()
        target = answer.headers.get("Location", "")
    raise troubles.not_a_registry(client.base, "its redirects never end")


def _content(client: Client, answer: requests.Response) -> Iterator[bytes]:
    try:
        yield from answer.iter_content(_CHUNK)
    except troubles.FAILURES as error:
        trouble = troubles.from_exception(client.base, error)
    else:
        return
    raise trouble


def _taken(content: Iterator[bytes], skip: int, length: int) -> bytes:
    taken = bytearray()
    for chunk in content:
        taken += chunk[skip : skip + length - len(taken)]
        skip -= min(skip, len(chunk))
        if len(taken) == length:
            break
    return bytes(taken)


def _scopes(repository: str) -> tuple[str, ...]:
    return (f"repository:{repository}:pull",)
