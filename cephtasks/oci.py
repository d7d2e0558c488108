"""OCI: descriptors, manifests and image configs as immutable values that keep their exact bytes.

Formats: https://github.com/opencontainers/image-spec (descriptor.md, manifest.md, config.md) and
Docker's image manifest version 2, schema 2.
"""

import hashlib
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
OCI_LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
OCI_LAYER_ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"

# Docker's layers are the same bytes as OCI's by another name.
_OCI_NAMES = {
    "application/vnd.docker.image.rootfs.diff.tar": OCI_LAYER,
    "application/vnd.docker.image.rootfs.diff.tar.gzip": OCI_LAYER_GZIP,
    "application/vnd.docker.image.rootfs.diff.tar.zstd": OCI_LAYER_ZSTD,
}
_OURSELVES = "cephtasks"  # in the history of a config
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
REF_NAME = "org.opencontainers.image.ref.name"
TAR_SIZE = "cephtasks.tar.size"  # bytes of a layer's uncompressed tar


def digest_of(raw: bytes) -> str:
    """The sha256 digest of some bytes, as `sha256:…`."""
    return f"sha256:{hashlib.sha256(raw).hexdigest()}"


def is_digest(text: str) -> bool:
    """Whether the text is a sha256 digest, and so the name of a blob that is safe to look for."""
    return _DIGEST.fullmatch(text) is not None


def encode(document: Any) -> bytes:
    """JSON with one byte sequence for one document: sorted keys, no white space."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


@dataclass(frozen=True)
class Descriptor:
    """What names a blob: media type, digest, and size in bytes."""

    media_type: str
    digest: str
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)

    def document(self) -> dict[str, Any]:
        """The descriptor as it stands in a manifest."""
        document: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        return {**document, "annotations": dict(self.annotations)} if self.annotations else document

    @staticmethod
    def read(document: Mapping[str, Any]) -> "Descriptor":
        """Raises KeyError, TypeError or ValueError where a field is missing or cannot be what it says."""
        digest, size = str(document["digest"]), int(document["size"])
        if not is_digest(digest) or size < 0:
            raise ValueError(f"{digest} of {size} bytes is no blob")
        return Descriptor(str(document["mediaType"]), digest, size, dict(document.get("annotations") or {}))


@dataclass(frozen=True)
class Layer:
    """A layer: its blob, and the digest of its uncompressed tar (diff id)."""

    blob: Descriptor
    diff_id: str


@dataclass(frozen=True)
class Image:
    """An image: the exact bytes of its manifest and of its config."""

    manifest: bytes
    config: bytes

    @cached_property
    def _manifest(self) -> dict[str, Any]:
        return dict(json.loads(self.manifest))

    @cached_property
    def config_document(self) -> dict[str, Any]:
        """The config as a document; not to be changed."""
        return dict(json.loads(self.config))

    @property
    def id(self) -> str:
        """The image id that an engine shows: the digest of the config."""
        return digest_of(self.config)

    @property
    def digest(self) -> str:
        """The digest of the manifest, by which a registry knows the image."""
        return digest_of(self.manifest)

    @property
    def media_type(self) -> str:
        """The media type of the manifest."""
        return str(self._manifest.get("mediaType", OCI_MANIFEST))

    @property
    def config_blob(self) -> Descriptor:
        """The descriptor of the config."""
        return Descriptor.read(self._manifest["config"])

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """The layers, bottom first."""
        blobs = [Descriptor.read(document) for document in self._manifest["layers"]]
        return tuple(Layer(blob, diff_id) for blob, diff_id in zip(blobs, self.diff_ids, strict=True))

    @property
    def diff_ids(self) -> tuple[str, ...]:
        """The diff ids of the layers, bottom first."""
        return tuple(self.config_document["rootfs"]["diff_ids"])

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels of the config."""
        return (self.config_document.get("config") or {}).get("Labels") or {}


def image(config: bytes, layers: Sequence[Layer]) -> Image:
    """An image with an OCI manifest around an existing config and its layers, bottom first.

    Docker's layers are the same by another name; an OCI manifest calls them by OCI's.
    """
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": Descriptor(OCI_CONFIG, digest_of(config), len(config)).document(),
        "layers": [_in_oci_terms(layer.blob).document() for layer in layers],
    }
    return Image(encode(manifest), config)


def _in_oci_terms(blob: Descriptor) -> Descriptor:
    return replace(blob, media_type=_OCI_NAMES.get(blob.media_type, blob.media_type))


@dataclass(frozen=True)
class Appended:
    """A layer to put on top of an image, with what `docker history` shows for it; `created` in RFC 3339."""

    layer: Layer
    comment: str
    created: str

    def history(self) -> dict[str, str]:
        """The layer's line in the history of a config."""
        return {"created": self.created, "created_by": _OURSELVES, "comment": self.comment}


def foundation(image: Image) -> int:
    """How many of an image's layers lie below those that were appended to it; 0 where none was."""
    lines = [line for line in image.config_document.get("history") or () if not line.get("empty_layer")]
    ours = itertools.takewhile(lambda line: line.get("created_by") == _OURSELVES, reversed(lines))
    appended = sum(1 for _ in ours)
    return len(image.layers) - appended if appended else 0


def above(image: Image, count: int) -> tuple[Appended, ...]:
    """The layers of an image above its lowest `count`, to be put on top of these again."""
    layers = image.layers[count:]
    lines = [line for line in image.config_document.get("history") or () if not line.get("empty_layer")]
    told = [*({} for _ in layers), *lines][
        len(lines) :
    ]  # of a history that is cut off the upper part is left
    return tuple(
        Appended(item, str(line.get("comment", "")), str(line.get("created", "")))
        for item, line in zip(layers, told, strict=True)
    )


def append(below: Image, above: Sequence[Appended], created: str, labels: Mapping[str, str]) -> Image:
    """The image with layers on top: config inherited, labels added, `created` in RFC 3339."""
    document = dict(below.config_document)
    config = dict(document.get("config") or {})
    config["Labels"] = {**(config.get("Labels") or {}), **labels}
    history = [item.history() for item in above]
    rootfs = {"type": "layers", "diff_ids": [*below.diff_ids, *(item.layer.diff_id for item in above)]}
    # What an engine notes of the container that an image came from says nothing about this one.
    for stale in ("container", "container_config", "id", "parent", "docker_version"):
        document.pop(stale, None)
    document.update(
        created=created, config=config, rootfs=rootfs, history=[*(document.get("history") or []), *history]
    )
    return image(encode(document), [*below.layers, *(item.layer for item in above)])


def chain_ids(diff_ids: Sequence[str]) -> list[str]:
    """The chain id of each layer: what an engine looks a layer up by (config.md, Layer ChainID)."""
    chain: list[str] = []
    for diff_id in diff_ids:
        chain.append(digest_of(f"{chain[-1]} {diff_id}".encode()) if chain else diff_id)
    return chain
