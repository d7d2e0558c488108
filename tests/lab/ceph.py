"""Ceph: split the image with a real Ceph into a base without it and the install tree of its packages."""

import io
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cephtasks.tree import parents

IMAGE = "cephtasks/ceph-base:16"
_LIST_FILES = (
    "dpkg-query --show --showformat '${binary:Package} ${source:Package}\\n' "
    '| while read package source; do [ "$source" = ceph ] && dpkg -L "$package"; done | sort -u'
)


@dataclass(frozen=True)
class RealCeph:
    """A base image with all that Ceph needs, and Ceph's own files as an install tree."""

    base: str
    tree: Path


@contextmanager
def split(folder: Path, base: str) -> Iterator[RealCeph]:
    """Lay the tree out in `folder` and name the base; the base goes with the block."""
    listed = _docker("run", "--rm", "--network=none", "--entrypoint=sh", IMAGE, "-c", _LIST_FILES)
    paths = frozenset(line.strip("/") for line in listed.stdout.decode().splitlines())
    container = _docker("create", "--network=none", IMAGE, "true").stdout.decode().strip()
    try:
        _split(container, paths, folder, base)
        yield RealCeph(base, folder)
    finally:
        _docker("rm", "--force", container)
        subprocess.run(["docker", "image", "rm", "--force", base], capture_output=True, check=False)


def _split(container: str, paths: frozenset[str], folder: Path, base: str) -> None:
    """Send every member of the container's file system to the tree or to the base."""
    folders = {parent for path in paths for parent in parents(path)}  # of a usr-merged base some are links
    exporting = subprocess.Popen(["docker", "export", container], stdout=subprocess.PIPE)
    importing = subprocess.Popen(
        ["docker", "import", "-", base], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    with exporting, importing:
        assert exporting.stdout is not None
        assert importing.stdin is not None
        with (
            tarfile.open(fileobj=exporting.stdout, mode="r|") as source,
            tarfile.open(fileobj=importing.stdin, mode="w|", bufsize=1 << 20) as rest,
        ):
            for member in source:
                if member.isdir() or member.name in folders or member.name not in paths:
                    rest.addfile(member, source.extractfile(member) if member.isreg() else None)
                else:
                    _lay(member, source, folder)
        importing.stdin.close()
    assert (exporting.returncode, importing.returncode) == (0, 0)


def _lay(member: tarfile.TarInfo, source: tarfile.TarFile, folder: Path) -> None:
    target = folder / member.name
    target.parent.mkdir(parents=True, exist_ok=True)
    if member.issym():
        target.symlink_to(member.linkname)
    elif member.islnk():
        target.hardlink_to(folder / member.linkname)
    else:
        content = source.extractfile(member) or io.BytesIO()
        with target.open("wb") as file:
            while chunk := content.read(1 << 20):
                file.write(chunk)
        target.chmod(member.mode)


def _docker(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["docker", *arguments], capture_output=True, check=True)
