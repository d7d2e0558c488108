"""Mirrors: a folder holds what an index says, and what was right in it is not touched."""

import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cephtasks.folder import index_folder
from cephtasks.mirror import mirror
from lab.users import as_nobody, public_folder


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder with one of each: file, hard link, symlink, folders that are empty, or closed to writing."""
    tree = tmp_path / "tree"
    (tree / "usr/bin").mkdir(parents=True)
    (tree / "usr/bin/ceph").write_bytes(b"ceph")
    (tree / "usr/bin/ceph").chmod(0o4755)
    (tree / "usr/bin/rados").hardlink_to(tree / "usr/bin/ceph")
    (tree / "bin").symlink_to("usr/bin")
    (tree / "var/lib/ceph").mkdir(parents=True)
    (tree / "var/lib/ceph").chmod(0o2750)
    (tree / "etc").mkdir()
    (tree / "etc/ceph.conf").write_bytes(b"[global]")
    (tree / "etc").chmod(0o555)
    return tree


def made(tree: Path, folder: Path) -> Path:
    """Mirror a tree in a folder."""
    beside = folder.parent / "beside"
    beside.mkdir(exist_ok=True)
    index = index_folder(tree)
    mirror(folder, index, {path: tree / path for path in index}, beside)
    assert list(beside.iterdir()) == []
    return folder


def test_a_mirror_has_the_index_of_its_tree(tree: Path, tmp_path: Path) -> None:
    """Modes, links and empty folders too."""
    assert index_folder(made(tree, tmp_path / "mirror")) == index_folder(tree)


def test_no_file_is_copied(tree: Path, tmp_path: Path) -> None:
    """Each is a link to the tree's own."""
    mirrored = made(tree, tmp_path / "mirror")
    for path in ("usr/bin/ceph", "usr/bin/rados", "etc/ceph.conf"):
        assert (mirrored / path).samefile(tree / path)


def test_what_is_right_is_not_touched(tree: Path, tmp_path: Path) -> None:
    """The second time nothing changes but a closed folder's mode, so nobody need read a file again."""
    mirrored = made(tree, tmp_path / "mirror")
    before = {path: path.lstat() for path in mirrored.rglob("*")}
    made(tree, mirrored)
    after = {path: path.lstat() for path in mirrored.rglob("*")}
    changes = [path for path in before if before[path].st_ctime_ns != after[path].st_ctime_ns]
    assert [path.relative_to(mirrored).as_posix() for path in changes] == ["etc"]


def test_every_change_is_followed(tree: Path, tmp_path: Path) -> None:
    """Files become folders, folders become links, links become files, and what is gone goes."""
    mirrored = made(tree, tmp_path / "mirror")
    (tree / "etc").chmod(0o755)
    shutil.rmtree(tree / "usr/bin")
    (tree / "usr/bin").symlink_to("../sbin")
    (tree / "bin").unlink()
    (tree / "bin").write_bytes(b"a file")
    (tree / "etc/ceph.conf").unlink()
    (tree / "etc/ceph.conf").mkdir()
    (tree / "etc/ceph.conf/d").write_bytes(b"d")
    shutil.rmtree(tree / "var")
    assert index_folder(made(tree, mirrored)) == index_folder(tree)


def test_a_file_that_is_replaced_is_linked_anew(tree: Path, tmp_path: Path) -> None:
    """The old file may live on elsewhere, and is not written to."""
    mirrored = made(tree, tmp_path / "mirror")
    (tmp_path / "old").hardlink_to(mirrored / "usr/bin/ceph")
    (tree / "usr/bin/ceph").unlink()
    (tree / "usr/bin/ceph").write_bytes(b"new")
    assert index_folder(made(tree, mirrored)) == index_folder(tree)
    assert (tmp_path / "old").read_bytes() == b"ceph"


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """A folder on another disk than the tests' own."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


def test_on_another_disk_files_are_copied_once(tree: Path, elsewhere: Path) -> None:
    """A copy is right for as long as its source is not changed, whatever time that claims to be from."""
    assert tree.stat().st_dev != elsewhere.stat().st_dev
    mirrored = made(tree, elsewhere / "mirror")
    assert index_folder(mirrored) == index_folder(tree)
    before = (mirrored / "etc/ceph.conf").stat()
    assert (made(tree, mirrored) / "etc/ceph.conf").stat().st_ino == before.st_ino
    (tree / "etc/ceph.conf").write_bytes(b"[GLOBAL]")
    assert (made(tree, mirrored) / "etc/ceph.conf").read_bytes() == b"[GLOBAL]"
    assert stat.S_IMODE((mirrored / "usr/bin/ceph").stat().st_mode) == 0o4755
    assert (mirrored / "usr/bin/ceph").samefile(mirrored / "usr/bin/rados")


def test_a_file_of_somebody_else_is_copied() -> None:
    """Linux allows no link to it (fs.protected_hardlinks), and the copy is its reader's own."""
    with public_folder() as folder:
        (folder / "tree").mkdir(0o755)
        (folder / "tree/ceph").write_bytes(b"ceph")
        (folder / "tree/ceph").chmod(0o755)
        (folder / "nobodys").mkdir()
        (folder / "nobodys").chmod(0o777)
        with as_nobody():
            first = made(folder / "tree", folder / "nobodys/mirror") / "ceph"
            before = first.stat()
            assert made(folder / "tree", folder / "nobodys/mirror") / "ceph" == first
        assert index_folder(folder / "nobodys/mirror") == index_folder(folder / "tree")
        assert first.stat().st_ino == before.st_ino
