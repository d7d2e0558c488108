"""Linkage, on folders laid out as images, with programs and libraries that gcc makes."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

from cephtasks.elf import Symbol
from cephtasks.findings import Problem
from cephtasks.linkage import Lack, Linkage
from lab.programs import compiled, library, runtime, versioned
from lab.rootfs import TRIPLET, loader_in

HOME = f"usr/lib/{TRIPLET}"
CALLS = "int %s(void); int main(void) {return %s();}"


@dataclass(frozen=True)
class Lab:
    """An image as a folder, and a folder beside it for what is linked with and not there."""

    image: Path
    aside: Path

    def program(self, name: str, calls: str, *options: str | Path) -> Path:
        """A program that calls a function, with what this machine's loader finds for it."""
        return compiled(self.image / "usr/bin" / name, CALLS % (calls, calls), *options, "-Wl,-z,lazy")

    def library(self, name: str, source: str, *options: str | Path, folder: str = HOME) -> Path:
        """A library of the image, whose soname is its name."""
        return library(self.image / folder / name, name, source, *options)

    def older(self, name: str, source: str) -> Path:
        """A library as it was when others were linked with it."""
        return library(self.aside / name, name, source)

    def lacks(self, *paths: str) -> tuple[Lack, ...]:
        """What these of the image lack, or all where none is named."""
        everything = (str(path.relative_to(self.image)) for path in sorted(self.image.rglob("*")))
        return Linkage(loader_in(self.image)).lacks(paths or list(everything))


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """An image with a C library and its loader."""
    probe = compiled(tmp_path / "probe", "int main(void) {return 0;}")
    for path, content in runtime(probe).items():
        place = tmp_path / "image" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    return Lab(tmp_path / "image", tmp_path / "aside")


def told(lacks: Iterable[Lack]) -> list[tuple[str, Problem, str, tuple[str, ...]]]:
    """Path, problem, library and symbols."""
    names = ((lack, tuple(symbol.name for symbol in lack.symbols)) for lack in lacks)
    return [(lack.path, lack.problem, lack.library, symbols) for lack, symbols in names]


def test_an_image_that_is_well_lacks_nothing(lab: Lab) -> None:
    """Neither its program nor a library, the C library and its loader among them."""
    lab.program("rados", "st", lab.library("libst.so.1", "int st(void) {return 1;}"))
    assert lab.lacks() == ()


def test_a_missing_library_is_all_that_is_said(lab: Lab) -> None:
    """What would come from there has no finding of its own."""
    lab.program("rados", "st", lab.older("libst.so.1", "int st(void) {return 1;}"))
    assert told(lab.lacks("usr/bin/rados")) == [
        ("usr/bin/rados", Problem.MISSING_LIBRARY, "libst.so.1", ()),
    ]


def test_whoever_needs_the_missing_library_is_named(lab: Lab) -> None:
    """It is a library of the program, not the program."""
    deep = lab.older("libdeep.so.1", "int deep(void) {return 1;}")
    lab.library("libst.so.1", "int deep(void); int st(void) {return deep();}", deep)
    lab.program("rados", "st", lab.image / HOME / "libst.so.1", "-Wl,--allow-shlib-undefined")
    (lack,) = lab.lacks("usr/bin/rados")
    assert (lack.path, lack.library) == (f"{HOME}/libst.so.1", "libdeep.so.1")
    assert lack.process == "usr/bin/rados"


def test_a_symbol_is_looked_for_in_the_library_that_has_its_like(lab: Lab) -> None:
    """Names of one library begin alike; the copy that the loader takes is named."""
    new = lab.older("libst.so.1", "int striper_old(void) {return 1;} int striper_new(void) {return 1;}")
    lab.library("libst.so.1", "int striper_old(void) {return 1;}")
    lab.library("libother.so.1", "int other_one(void) {return 1;}")
    lab.program("rados", "striper_new", new, "-Wl,--no-as-needed", lab.image / HOME / "libother.so.1")
    (lack,) = lab.lacks("usr/bin/rados")
    assert lack.symbols == (Symbol("striper_new"),)
    assert (lack.library, lack.picked) == ("libst.so.1", f"{HOME}/libst.so.1")


def test_a_version_that_is_gone(lab: Lab) -> None:
    """The library's build does not define it any more, so nothing is said of its symbols one by one."""
    source = "int st(void) {return 1;}"
    versioned(lab.aside / "libst.so.1", "libst.so.1", source, "V_2 {global: st; local: *;};")
    lab.program("rados", "st", lab.aside / "libst.so.1")
    versioned(lab.image / HOME / "libst.so.1", "libst.so.1", source, "V_1 {global: st; local: *;};")
    (lack,) = lab.lacks("usr/bin/rados")
    assert (lack.library, lack.symbols) == ("libst.so.1", (Symbol("", "V_2"),))


def test_a_variable_that_a_program_takes_over(lab: Lab) -> None:
    """The library must have it (R_*_COPY), though the program defines it too."""
    new = lab.older("libst.so.1", "int st_old; int st_size = 3;")
    source = "extern int st_size; int main(void) {return st_size;}"
    compiled(lab.image / "usr/bin/rados", source, new, "-no-pie", "-fno-pie")
    lab.library("libst.so.1", "int st_old;")
    (lack,) = lab.lacks("usr/bin/rados")
    assert lack.symbols == (Symbol("st_size"),)


CLASSES = f"{HOME}/rados-classes"


def test_a_plugin_has_what_its_daemon_has(lab: Lab) -> None:
    """A class of RADOS calls functions of ceph-osd, and is bound in that process."""
    lab.library("libcls_one.so", "int cls_call(void); int one(void) {return cls_call();}", folder=CLASSES)
    osd = "int cls_call(void) {return 1;} int main(void) {return 0;}"
    compiled(lab.image / "usr/bin/ceph-osd", osd, "-rdynamic")
    assert lab.lacks() == ()
    compiled(lab.image / "usr/bin/ceph-osd", "int main(void) {return 0;}", "-rdynamic")
    (lack,) = lab.lacks()
    assert (lack.path, lack.process) == (f"{CLASSES}/libcls_one.so", "usr/bin/ceph-osd")
    assert lack.symbols == (Symbol("cls_call"),)


def test_what_a_daemon_lacks_is_not_said_of_its_plugins(lab: Lab) -> None:
    """Where the daemon does not start, nobody knows what it would give them."""
    common = lab.older("libcommon.so.1", "int cls_call(void) {return 1;}")
    lab.library("libcls_one.so", "int cls_call(void); int one(void) {return cls_call();}", folder=CLASSES)
    lab.program("ceph-osd", "cls_call", common)
    assert told(lab.lacks()) == [("usr/bin/ceph-osd", Problem.MISSING_LIBRARY, "libcommon.so.1", ())]


def test_a_module_that_nobody_is_seen_to_load(lab: Lab) -> None:
    """What some program of the image has may come from there; what none has is lacking."""
    wants = "int host_call(void); int one(void) {return host_call();}"
    lab.library("module.so", wants, folder="usr/lib/app")
    host = "int host_call(void) {return 1;} int main(void) {return 0;}"
    compiled(lab.image / "usr/bin/host", host, "-rdynamic")
    assert lab.lacks() == ()


def test_a_library_for_another_machine_in_the_way(lab: Lab) -> None:
    """The loader passes over it; where there is no other, that is what is wrong."""
    lab.program("rados", "st", lab.older("libst.so.1", "int st(void) {return 1;}"))
    lab.library("libst.so.1", "int st(void) {return 1;}", "-m32", "-nostdlib")
    lacks = {lack.path: lack for lack in lab.lacks()}
    assert lacks["usr/bin/rados"].problem is Problem.WRONG_ARCHITECTURE
    assert lacks["usr/bin/rados"].picked == f"{HOME}/libst.so.1"
    lab.library("libst.so.1", "int st(void) {return 1;}", folder="usr/lib")
    assert "usr/bin/rados" not in {lack.path for lack in lab.lacks()}


@pytest.mark.parametrize(
    ("folder", "is_told"),
    [("/ceph/build/lib", True), ("/home/me/src/x", True), ("/opt/vendor/lib", False), ("$ORIGIN", False)],
)
def test_a_run_path_into_a_build(lab: Lab, folder: str, is_told: bool) -> None:
    """It tells why a library is missing: who needs it was copied, not installed."""
    gone = lab.older("libgone.so.1", "int gone(void) {return 1;}")
    source = "int gone(void); int st(void) {return gone();}"
    lab.library("libst.so.1", source, gone, f"-Wl,-rpath,{folder}")
    (lack,) = lab.lacks(f"{HOME}/libst.so.1")
    assert lack.library == "libgone.so.1"
    assert lack.note == (f"and is looked for in the build folder {folder}" if is_told else "")


def test_a_run_path_that_is_not_needed(lab: Lab) -> None:
    """Where all is found elsewhere it does no harm."""
    lab.library("libst.so.1", "int st;", "-Wl,-rpath,/ceph/build/lib")
    assert lab.lacks() == ()


def test_a_program_whose_loader_is_not_there(lab: Lab) -> None:
    """The kernel would say that the program itself is not found."""
    compiled(
        lab.image / "usr/bin/rados", "int main(void) {return 0;}", "-Wl,--dynamic-linker=/lib/ld-no.so.1"
    )
    (lack,) = lab.lacks("usr/bin/rados")
    assert (lack.problem, lack.library) == (Problem.MISSING_LIBRARY, "/lib/ld-no.so.1")
