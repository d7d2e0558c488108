"""Standing: tell what each node has of an image, and what a pull of it would fetch."""

import itertools
import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cephtasks.engine import Engine, EngineImage, RunSpec
from cephtasks.errors import ContainerFailed, EngineRefused, ImageNotFound
from cephtasks.node_list import Node
from cephtasks.nodes.fleet import Fleet, Outcome
from cephtasks.nodes.pulls import Target
from cephtasks.oci import Image
from cephtasks.reference import Reference

# POSIX df(1), -P: device, 1024-byte blocks in all, used, available, then a percentage and the mount point.
_DF_ROW = re.compile(rb"^\S+\s+\d+\s+\d+\s+(\d+)\s+\d+%\s+/\s*$", re.MULTILINE)
_TRIED = 3  # images in which a df is looked for


@dataclass(frozen=True)
class Standing:
    """A node: its engine's version, the digests of a repository's tags, what a pull would fetch, in bytes.

    `free_bytes` is what the disk with the engine's images has left; None where no image of the node can tell.
    `fetch_bytes` is None where it is not known what the image is.
    """

    version: str
    digests: Mapping[str, str]
    free_bytes: int | None
    fetch_layers: int | None
    fetch_bytes: int | None

    def document(self) -> dict[str, Any]:
        """The standing as `nodes.status --json` prints it."""
        return {
            "engine": self.version,
            "tags": dict(self.digests),
            "free_bytes": self.free_bytes,
            "fetch_layers": self.fetch_layers,
            "fetch_bytes": self.fetch_bytes,
        }


def look(fleet: Fleet, reference: Reference, wanted: Target | None) -> list[Outcome[Standing]]:
    """How every node stands to an image; nothing is changed. Without `wanted` only to its repository."""

    def act(node: Node, engine: Engine, stop: threading.Event) -> Standing:
        images = engine.images()
        layers, size = missing(wanted.image, images) if wanted else (None, None)
        return Standing(engine.version, digests(reference.name, images), _free(engine, images), layers, size)

    return fleet.visit(act)


def digests(name: str, images: Iterable[EngineImage]) -> dict[str, str]:
    """For each tag that a node has of `registry/repository`, the digest in the registry; empty if unknown."""
    found = {}
    for image in images:
        known = [digest for each in image.repo_digests if (digest := _after(each, f"{name}@"))]
        for tag in filter(None, (_after(each, f"{name}:") for each in image.tags)):
            found[tag] = next(iter(known), "")
    return dict(sorted(found.items()))


def missing(wanted: Image, images: Iterable[EngineImage]) -> tuple[int, int]:
    """How many layers a node with these images lacks, and how many bytes it fetches for the image.

    An engine has a layer only where it has the same layers below it.
    """
    images = tuple(images)
    if any(image.id == wanted.id for image in images):
        return 0, 0
    had = max((_common(wanted.diff_ids, image.diff_ids) for image in images), default=0)
    blobs = {layer.blob for layer in wanted.layers[had:]}
    return len(wanted.layers) - had, sum(blob.size for blob in blobs) + wanted.config_blob.size


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    pairs = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    return sum(1 for _ in pairs)


def _free(engine: Engine, images: Sequence[EngineImage]) -> int | None:
    """Bytes left on the disk with the engine's images, as a container sees it; no API tells that."""
    try:
        able = (image for image in images[:_TRIED] if engine.has_program(image, "df"))
        image = next(able, None)
        if image is None:
            return None
        printed = bytearray()
        spec = RunSpec(image.id, entrypoint=("df", "-P", "-k", "/"), purpose="status", looks_only=True)
        engine.run(spec, printed.extend, lambda chunk: None)
    except (ContainerFailed, EngineRefused, ImageNotFound):
        return None
    row = _DF_ROW.search(printed)
    return int(row[1]) * 1024 if row else None


def _after(text: str, start: str) -> str:
    return text[len(start) :] if text.startswith(start) else ""
