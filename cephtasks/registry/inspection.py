"""Inspection: look at all that a name means in a registry, without its layers."""

import json
from dataclasses import dataclass
from typing import Any

from cephtasks import platforms
from cephtasks.document import OTHER_SHAPE, Document
from cephtasks.platforms import Platform
from cephtasks.reference import Reference
from cephtasks.registry import documents
from cephtasks.registry.transport import Client


@dataclass(frozen=True)
class Inspected:
    """What a name means: an index with one of its manifests, or a manifest; and the config of that.

    There may be no manifest for this machine in an index, and no config that is an image's.
    """

    reference: Reference
    index: Document | None
    manifest: Document | None
    config: dict[str, Any] | None

    @property
    def named(self) -> Document:
        """What the name means itself."""
        named = self.index or self.manifest
        assert named is not None  # noqa: S101 — one of them is there
        return named

    @property
    def bytes(self) -> int:
        """The bytes of the manifest, its config and its layers."""
        if self.manifest is None:
            return 0
        return len(self.manifest.raw) + sum(blob.size for blob in self.manifest.blobs)

    def document(self) -> dict[str, Any]:
        """What was found as `registry.inspect --json` prints it; sizes in bytes."""
        manifest = self.manifest
        return {
            "reference": str(self.reference),
            "digest": self.named.digest,
            "media_type": self.named.media_type,
            "index": self.index.content if self.index else None,
            "manifest_digest": manifest.digest if manifest else None,
            "manifest": manifest.content if manifest else None,
            "config": self.config,
            "layers": [layer.document() for layer in manifest.layers] if manifest else [],
            "bytes": self.bytes,
        }


def inspect(client: Client, reference: Reference, platform: Platform | None = None) -> Inspected:
    """Look at a name; of an index at the manifest for `platform`, or where there is one, for this machine.

    Raises ImageNotInRegistry, NotARegistry, BlobDamaged, and what the client raises.
    """
    found = documents.fetch(client, reference)
    index = found if found.is_index else None
    wanted = platform or platforms.this_machine()
    if index and platform is None and documents.child_for(index, wanted) is None:
        return Inspected(reference, index, None, None)
    manifest = documents.manifest_for(client, reference, found, wanted)
    with documents.shaped(reference):
        _ = manifest.blobs
    return Inspected(reference, index, manifest, _config(documents.config(client, reference, manifest)))


def _config(raw: bytes) -> dict[str, Any] | None:
    """What is kept as an image may have a config that is none."""
    try:
        content = json.loads(raw)
    except OTHER_SHAPE:
        return None
    return content if isinstance(content, dict) else None
