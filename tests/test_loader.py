"""Loader, on folders laid out as images, with libraries that gcc makes."""

import shutil
import struct
from pathlib import Path

import pytest

from cephtasks.loader import Loader, read_cache
from lab.programs import compiled, library
from lab.rootfs import ARCHITECTURE, TRIPLET, loader_in

HOME = f"usr/lib/{TRIPLET}"


def a_library(path: Path, *options: str) -> Path:
    """A library that is known as libst.so.1."""
    return library(path, "libst.so.1", "int st(void) {return 1;}", *options)


def a_program(path: Path, *options: str) -> Path:
    """A program that needs libst.so.1."""
    linked = a_library(path.parent.parent / "linked" / "libst.so.1")
    made = compiled(path, "int st(void); int main(void) {return st();}", linked, *options)
    shutil.rmtree(linked.parent)
    return made


def test_a_soname_leads_through_symlinks_to_a_file(tmp_path: Path) -> None:
    """On a base whose /lib is a link, it is the file below /usr that the soname links to."""
    a_library(tmp_path / HOME / "libst.so.1.0.0")
    (tmp_path / HOME / "libst.so.1").symlink_to("libst.so.1.0.0")
    (tmp_path / "lib").symlink_to("usr/lib")
    assert loader_in(tmp_path).find("libst.so.1") == f"{HOME}/libst.so.1.0.0"


def test_what_is_nowhere_is_not_found(tmp_path: Path) -> None:
    """Nor is a link that leads nowhere, or a folder of that name."""
    (tmp_path / HOME / "libdir.so.1").mkdir(parents=True)
    (tmp_path / HOME / "libst.so.1").symlink_to("libst.so.1.0.0")
    loader = loader_in(tmp_path)
    assert [loader.find(name) for name in ("libst.so.1", "libdir.so.1", "libno.so.1")] == [None] * 3


def test_the_nearest_place_wins(tmp_path: Path) -> None:
    """The run path, then LD_LIBRARY_PATH, then the cache, then the folders of the distribution."""
    for folder in ("opt/run", "opt/env", "opt/cached", HOME):
        a_library(tmp_path / folder / "libst.so.1")
    env, cache = {"LD_LIBRARY_PATH": "/opt/env"}, {"libst.so.1": ["/opt/cached/libst.so.1"]}
    assert loader_in(tmp_path, cache, env).find("libst.so.1", ["/opt/run"]) == "opt/run/libst.so.1"
    assert loader_in(tmp_path, cache, env).find("libst.so.1") == "opt/env/libst.so.1"
    assert loader_in(tmp_path, cache).find("libst.so.1") == "opt/cached/libst.so.1"
    assert loader_in(tmp_path).find("libst.so.1") == f"{HOME}/libst.so.1"


def test_a_stale_cache_is_passed_over(tmp_path: Path) -> None:
    """The loader looks on where a path of its cache is gone."""
    a_library(tmp_path / HOME / "libst.so.1")
    cache = {"libst.so.1": ["/opt/gone/libst.so.1"]}
    assert loader_in(tmp_path, cache).find("libst.so.1") == f"{HOME}/libst.so.1"


def test_another_architecture_is_passed_over_and_damage_is_not(tmp_path: Path) -> None:
    """A loader looks on where a file is for another machine, and ends where it is none at all."""
    a_library(tmp_path / "opt/foreign/libst.so.1", "-m32", "-nostdlib")
    a_library(tmp_path / HOME / "libst.so.1")
    (tmp_path / "opt/damaged").mkdir()
    (tmp_path / "opt/damaged/libst.so.1").write_text("INPUT(libst.so.1.0.0)")
    loader = loader_in(tmp_path)
    assert loader.find("libst.so.1", ["/opt/foreign"]) == f"{HOME}/libst.so.1"
    assert loader.find("libst.so.1", ["/opt/damaged"]) == "opt/damaged/libst.so.1"


@pytest.mark.parametrize("run_path", ["/opt/ceph/lib", "$ORIGIN/../lib", "${ORIGIN}/../lib"])
@pytest.mark.parametrize("tags", ["--enable-new-dtags", "--disable-new-dtags"])
def test_a_program_leads_to_its_libraries(tmp_path: Path, run_path: str, tags: str) -> None:
    """By its own run path, which may start where the program is."""
    a_library(tmp_path / "opt/ceph/lib/libst.so.1")
    a_program(tmp_path / "opt/ceph/bin/rados", f"-Wl,{tags},-rpath,{run_path}")
    assert loader_in(tmp_path).walk("opt/ceph/bin/rados") == {"libst.so.1": "opt/ceph/lib/libst.so.1"}


def test_a_program_lends_its_libraries_the_old_run_path_only(tmp_path: Path) -> None:
    """RPATH counts for what a program's libraries need, RUNPATH for what it needs itself."""
    inner = library(tmp_path / "opt/libin.so.1", "libin.so.1", "int in(void) {return 1;}")
    outer = library(
        tmp_path / "opt/libout.so.1", "libout.so.1", "int in(void); int out(void) {return in();}", inner
    )
    found = {}
    for tags in ("--enable-new-dtags", "--disable-new-dtags"):
        compiled(
            tmp_path / "usr/bin/rados",
            "int out(void); int main(void) {return out();}",
            *(outer, f"-Wl,{tags},-rpath,/opt,-rpath-link,{inner.parent},--as-needed"),
        )
        found[tags] = loader_in(tmp_path).walk("usr/bin/rados")
    assert "libin.so.1" not in found["--enable-new-dtags"]
    assert found["--disable-new-dtags"]["libin.so.1"] == "opt/libin.so.1"


def test_a_program_is_found_on_the_images_path(tmp_path: Path) -> None:
    """Or where its path says."""
    a_program(tmp_path / "opt/ceph/bin/ceph-osd-classic")
    (tmp_path / "opt/ceph/bin/ceph-osd").symlink_to("ceph-osd-classic")
    loader = loader_in(tmp_path, env={"PATH": "/usr/bin:/opt/ceph/bin"})
    assert loader.program("ceph-osd") == "opt/ceph/bin/ceph-osd-classic"
    assert loader.program("/opt/ceph/bin/ceph-osd") == "opt/ceph/bin/ceph-osd-classic"
    assert loader.program("rados") is None


@pytest.mark.parametrize(
    ("folders", "home"),
    [
        ([f"usr/lib/{TRIPLET}", "usr/lib64"], f"usr/lib/{TRIPLET}"),
        ([f"lib/{TRIPLET}", "usr/lib"], f"usr/lib/{TRIPLET}"),
        (["usr/lib64", "usr/lib"], "usr/lib64"),
        (["usr/lib"], "usr/lib"),
        (["usr/lib/ld-musl-x86_64.so.1", "usr/lib64"], "usr/lib"),
    ],
    ids=["Debian", "Debian without usr-merge", "Fedora", "Arch", "Alpine"],
)
def test_a_new_library_goes_where_the_distribution_has_them(
    tmp_path: Path, folders: list[str], home: str
) -> None:
    """There this loader looks untold."""
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").touch()
    assert loader_in(tmp_path).home == home


def test_a_cache_gives_paths_by_soname() -> None:
    """As glibc writes it: a header, entries, and the texts that they point at."""
    texts = b"libst.so.1\0/lib/libst.so.1\0/lib/new/libst.so.1\0"
    start = 48 + 2 * 24
    entries = struct.pack("=iIIIQ", 0x303, start, start + 27, 0, 1 << 62)  # a copy for newer processors
    entries += struct.pack("=iIIIQ", 0x303, start, start + 11, 0, 0)
    raw = b"glibc-ld.so.cache1.1" + struct.pack("=II20x", 2, len(texts)) + entries + texts
    assert read_cache(raw) == {"libst.so.1": ["/lib/libst.so.1"]}
    assert read_cache(b"ld.so-1.7.0\0" + raw) == {"libst.so.1": ["/lib/libst.so.1"]}


@pytest.mark.parametrize("raw", [b"", b"ld.so-1.7.0\0", b"glibc-ld.so.cache1.1" + b"\xff" * 60])
def test_a_cache_that_cannot_be_read_is_empty(raw: bytes) -> None:
    """The loader has its folders then."""
    assert read_cache(raw) == {}


def test_an_empty_image_has_a_loader_too() -> None:
    """Which finds nothing, and knows where a library would go."""
    loader = Loader({}, {}, ARCHITECTURE)
    assert (loader.find("libst.so.1"), loader.walk("usr/bin/rados"), loader.home) == (None, {}, "usr/lib")
