"""Ages: tell when the images of a repository were made, by their configs."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime

from cephtasks.document import OTHER_SHAPE, Document
from cephtasks.oci import Descriptor
from cephtasks.reference import Reference
from cephtasks.registry.contents import Contents
from cephtasks.registry.documents import config
from cephtasks.registry.fanout import each
from cephtasks.registry.transport import Client

_NOT_SET = 1  # the year that Go writes for no time


def created(client: Client, held: Contents) -> Mapping[str, datetime]:
    """When each image was made, by its manifest's digest; an index when the newest of its images was.

    What is no image, or does not say, is left out. Raises BlobDamaged, and what the client raises.
    """
    repository = Reference(client.host, held.repository)
    configs: dict[Descriptor, Document] = {}
    for document in held.manifests.values():
        described = _config_of(document)
        if described:
            configs[described] = document
    raws = each(lambda document: config(client, repository, document), configs.values())
    times = dict(zip(configs, map(_time, raws), strict=True))
    return {
        digest: max(known)
        for digest in held.manifests
        if (known := [time for time in map(times.get, _configs(held, digest)) if time])
    }


def _configs(held: Contents, digest: str) -> list[Descriptor]:
    """The configs that a manifest leads to."""
    document = held.manifests.get(digest)
    if document is None:
        return []
    own = _config_of(document)
    below = [item for child in document.children for item in _configs(held, child.blob.digest)]
    return [own, *below] if own else below


def _config_of(document: Document) -> Descriptor | None:
    try:
        return None if document.is_index else document.config
    except OTHER_SHAPE:
        return None


def _time(raw: bytes) -> datetime | None:
    """The time that a config tells (config.md, created; RFC 3339)."""
    try:
        time = datetime.fromisoformat(json.loads(raw)["created"])
        in_utc = time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except OTHER_SHAPE:
        return None
    return None if time.year == _NOT_SET else in_utc
