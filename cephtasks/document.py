"""Documents: manifests and indexes as values that keep their exact bytes, and tell what they name.

Formats: https://github.com/opencontainers/image-spec, manifest.md and image-index.md.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from cephtasks.oci import OCI_INDEX, OCI_MANIFEST, Descriptor, digest_of
from cephtasks.platforms import Platform

# What reading a document of another shape raises.
OTHER_SHAPE = (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError)


@dataclass(frozen=True)
class Child:
    """A manifest that an index names, and the platform that it is for, where the index says so."""

    blob: Descriptor
    platform: Platform | None


@dataclass(frozen=True)
class Document:
    """A manifest or an index: its exact bytes, and the media type that it was sent with.

    Its properties raise one of OTHER_SHAPE where it does not hold what they tell.
    """

    raw: bytes
    sent_type: str = ""

    @cached_property
    def content(self) -> dict[str, Any]:
        """What the bytes say; not to be changed."""
        return dict(json.loads(self.raw))

    @property
    def digest(self) -> str:
        """The digest by which a registry knows it."""
        return digest_of(self.raw)

    @property
    def is_index(self) -> bool:
        """Whether it names manifests, and no config and layers."""
        return isinstance(self.content.get("manifests"), list)

    @property
    def media_type(self) -> str:
        """Its media type, which need not stand in it."""
        told = self.content.get("mediaType") or self.sent_type
        return str(told or (OCI_INDEX if self.is_index else OCI_MANIFEST))

    @cached_property
    def children(self) -> tuple[Child, ...]:
        """The manifests that an index names, without entries that name none; none for a manifest."""
        listed = self.content["manifests"] if self.is_index else ()
        return tuple(filter(None, map(_child, listed)))

    @cached_property
    def config(self) -> Descriptor:
        """The config that a manifest names."""
        return Descriptor.read(self.content["config"])

    @cached_property
    def layers(self) -> tuple[Descriptor, ...]:
        """The layers that a manifest names, bottom first, without those that no registry keeps."""
        kept = (item for item in self.content["layers"] if not item.get("urls"))
        return tuple(Descriptor.read(item) for item in kept)

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """The config and the layers of a manifest, each once; none for an index."""
        named = () if self.is_index else (self.config, *self.layers)
        return tuple({blob.digest: blob for blob in named}.values())


def _child(item: Any) -> Child | None:
    try:
        return Child(Descriptor.read(item), _platform(item))
    except OTHER_SHAPE:
        return None


def _platform(item: Mapping[str, Any]) -> Platform | None:
    """An entry need not say for what machine it is, and some are no images."""
    try:
        return Platform.read(item["platform"])
    except OTHER_SHAPE:
        return None
