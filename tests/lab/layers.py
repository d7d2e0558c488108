"""Layers: make them from a few words, and ask a real engine what a container sees of them."""

import io
import tarfile
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager

import docker

from cephtasks import archive, oci
from cephtasks.engine import Engine
from cephtasks.oci import OCI_LAYER_GZIP, Descriptor, Image, Layer
from cephtasks.tree import Entry, index_tar

# What an engine puts into every container by itself.
_ENGINES_OWN = (
    ".dockerenv",
    "dev",
    "proc",
    "sys",
    "etc/hostname",
    "etc/hosts",
    "etc/mtab",
    "etc/resolv.conf",
)


def folder(name: str, mode: int = 0o755) -> tarfile.TarInfo:
    """A folder in a tar."""
    return _member(name, tarfile.DIRTYPE, mode)


def file(name: str, content: bytes = b"", mode: int = 0o644) -> tuple[tarfile.TarInfo, bytes]:
    """A file in a tar."""
    member = _member(name, tarfile.REGTYPE, mode)
    member.size = len(content)
    return member, content


def symlink(name: str, target: str) -> tarfile.TarInfo:
    """A symlink in a tar."""
    return _member(name, tarfile.SYMTYPE, 0o777, target)


def hardlink(name: str, target: str) -> tarfile.TarInfo:
    """A hard link in a tar."""
    return _member(name, tarfile.LNKTYPE, 0o644, target)


Member = tarfile.TarInfo | tuple[tarfile.TarInfo, bytes]


def tar(*members: Member) -> bytes:
    """A tar of these members, in this order."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as made:
        for item in members:
            member, content = item if isinstance(item, tuple) else (item, b"")
            made.addfile(member, io.BytesIO(content))
    return out.getvalue()


def image_of(tars: Sequence[bytes]) -> tuple[Image, dict[str, bytes]]:
    """An image of uncompressed layers, bottom first, and its blobs."""
    blobs = {oci.digest_of(raw): raw for raw in tars}
    layers = [
        Layer(Descriptor(OCI_LAYER_GZIP, digest, len(raw)), digest)
        for digest, raw in ((oci.digest_of(raw), raw) for raw in tars)
    ]
    document = {
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
    }
    return oci.image(oci.encode(document), layers), blobs


def archived(image: Image, name: str, present: Container[str], blobs: Mapping[str, bytes]) -> Iterator[bytes]:
    """The archive of an image that lies in memory, without the layers that are present."""
    tars = archive.stored(image.layers, present, lambda digest: io.BytesIO(blobs[digest]))
    return archive.loadable(tars, name, lambda: image)


def load(engine: Engine, image: Image, blobs: dict[str, bytes], name: str) -> None:
    """Give the engine an image that lies in memory."""
    engine.load(archived(image, name, (), blobs))


def seen_by_container(name: str) -> dict[str, Entry]:
    """The files of an image as its container has them, without what the engine adds."""
    with _exported(name) as stream:
        entries = {entry.path: entry for entry in index_tar(stream)}
    return {path: entry for path, entry in entries.items() if not _is_engines(path)}


@contextmanager
def _exported(name: str) -> Iterator[io.BytesIO]:
    client = docker.from_env()
    try:
        container = client.containers.create(name, ["/none"])
        try:
            exported: Iterator[bytes] = container.export()  # type: ignore[assignment]
            yield io.BytesIO(b"".join(exported))
        finally:
            container.remove()
    finally:
        client.close()


def _is_engines(path: str) -> bool:
    return path == "etc" or any(path == own or path.startswith(f"{own}/") for own in _ENGINES_OWN)


def _member(name: str, kind: bytes, mode: int, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.mode, member.linkname = kind, mode, target
    return member
