"""Ceph's files: the names and sizes of a real install tree, without the content."""

from pathlib import Path

from cephtasks.oci import digest_of
from cephtasks.tree import Entry, Kind, parents

_DATA = Path(__file__).parent.parent / "data"


def debian_paths() -> dict[str, int | None]:
    """The files of Debian's Ceph packages, with their sizes in bytes; links have none."""
    lines = (line.split(" ", 1) for line in _lines("ceph-16-debian-files.txt"))
    return {path: None if size == "-" else int(size) for size, path in lines}


def el_paths() -> list[str]:
    """Files of Ceph's packages on EL."""
    return _lines("ceph-el-files.txt")


def tree() -> dict[str, Entry]:
    """An index as of Debian's files; a file's content is taken to be its name."""
    index: dict[str, Entry] = {}
    for path, size in debian_paths().items():
        index |= {parent: Entry(parent, Kind.FOLDER) for parent in parents(path)}
        index[path] = edited(path, size, "first")
    return index


def edited(path: str, size: int | None, version: str) -> Entry:
    """A file of that size whose content differs from every other version's."""
    if size is None:
        return Entry(path, Kind.SYMLINK, 0o777, target=version)
    return Entry(
        path, Kind.FILE, 0o755, size, digest_of(f"{path} {version}".encode()).removeprefix("sha256:")
    )


def _lines(name: str) -> list[str]:
    text = (_DATA / name).read_text()
    return [line for line in text.splitlines() if not line.startswith("#")]
