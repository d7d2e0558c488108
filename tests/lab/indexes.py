"""Indexes: put several images under one name of a registry, each for its platform."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from cephtasks.oci import Image, encode
from cephtasks.reference import Reference
from cephtasks.registry import Client, push
from cephtasks.store import Store
from lab.images import packed


def put_index(
    target: Reference, folder: Path, kind: str, platforms: Sequence[Mapping[str, str] | None]
) -> list[Image]:
    """An index of one image for each platform, put at the target; the images."""
    store = Store(folder / "index")
    images = [packed(store, f"{number}", [{"a": f"{number}".encode()}]) for number in range(len(platforms))]
    listed = []
    with Client(target.registry) as client:
        for image, platform in zip(images, platforms, strict=True):
            push(client, target.with_digest(image.digest), image, store.open)
            item = {"mediaType": image.media_type, "digest": image.digest, "size": len(image.manifest)}
            listed.append({**item, "platform": platform} if platform else item)
        document = {"schemaVersion": 2, "mediaType": kind, "manifests": listed}
        put_manifest(client, target, encode(document), kind)
    return images


def put_manifest(client: Client, target: Reference, raw: bytes, kind: str) -> None:
    """Put a manifest or an index as it is."""
    path = f"/v2/{target.repository}/manifests/{target.target}"
    client.send("PUT", path, "it", ok=(201,), headers={"Content-Type": kind}, body=raw)
