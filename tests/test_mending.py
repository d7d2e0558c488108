"""Mending, decided on images and builds that are folders, with libraries that gcc makes."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from cephtasks.errors import LibraryNotFound
from cephtasks.findings import Ending, Finding, diagnose
from cephtasks.libraries import candidates
from cephtasks.mending import Placement, Repair, plan_repair
from lab.programs import compiled, library, versioned
from lab.rootfs import TRIPLET, loader_in

HOME = f"usr/lib/{TRIPLET}"
GONE = "cannot open shared object file: No such file or directory"


@dataclass(frozen=True)
class Lab:
    """An image and a build, both folders."""

    image: Path
    build: Path

    def plan(
        self,
        *findings: Finding,
        globs: Sequence[str] = (),
        before: Repair = Repair(),  # noqa: B008
    ) -> Repair:
        found = candidates([self.build / "install", self.build / "lib"])
        return plan_repair(findings, loader_in(self.image), found, globs, before)

    def why_not(self, finding: Finding) -> str:
        """The one reason why nothing is planned."""
        repair = self.plan(finding)
        assert repair.placements == ()
        (line,) = repair.unmended
        return line


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """An image with an old libst that lacks st_new, which its rados and the build's libst have."""
    made = Lab(tmp_path / "image", tmp_path / "build")
    library(made.image / HOME / "libst.so.1.0.0", "libst.so.1", "int st_old(void) {return 1;}")
    (made.image / HOME / "libst.so.1").symlink_to("libst.so.1.0.0")
    source = "int st_old(void) {return 1;} int st_new(void) {return 1;}"
    new = library(made.build / "lib/libst.so.1.1.0", "libst.so.1", source)
    (made.build / "lib/libst.so.1").symlink_to("libst.so.1.1.0")
    (made.build / "lib/libst.so").symlink_to("libst.so.1")
    compiled(made.image / "usr/bin/rados", "int st_new(void); int main(void) {return st_new();}", new)
    return made


def undefined(symbol: str, by: str = "/usr/bin/rados", tool: str = "rados") -> Finding:
    """What check finds where a loader does not find a symbol."""
    said = f"{tool}: symbol lookup error: {by}: undefined symbol: {symbol}"
    return diagnose(tool, Ending(127, said.encode(), path=f"/usr/bin/{tool}"))


def missing(soname: str, tool: str = "rados", words: str = GONE) -> Finding:
    """What check finds where a loader cannot use a library."""
    said = f"{tool}: error while loading shared libraries: {soname}: {words}"
    return diagnose(tool, Ending(127, said.encode(), path=f"/usr/bin/{tool}"))


def places(repair: Repair) -> list[tuple[str, str, str]]:
    """For each library its file in the build, and its path and link in the image."""
    return [(item.candidate.path.name, item.path, item.link) for item in repair.placements]


def test_a_library_that_lacks_a_symbol_is_replaced_where_it_is(lab: Lab) -> None:
    """The one file that the loader opens gets new content; whatever links to it stays."""
    repair = lab.plan(undefined("st_new"))
    assert places(repair) == [("libst.so.1.1.0", f"{HOME}/libst.so.1.0.0", "")]
    assert repair.placements[0].why == "rados needs its st_new"
    assert repair.unmended == ()


def test_a_missing_library_goes_where_the_loader_looks(lab: Lab) -> None:
    """With the link that is its soname."""
    (lab.image / HOME / "libst.so.1").unlink()
    (lab.image / HOME / "libst.so.1.0.0").unlink()
    assert places(lab.plan(missing("libst.so.1"))) == [
        ("libst.so.1.1.0", f"{HOME}/libst.so.1.1.0", f"{HOME}/libst.so.1")
    ]


def test_a_library_that_is_its_own_soname_needs_no_link(lab: Lab) -> None:
    """As libceph-common.so.2 is installed."""
    library(lab.build / "lib/libceph-common.so.2", "libceph-common.so.2", "int common(void) {return 1;}")
    assert places(lab.plan(missing("libceph-common.so.2"))) == [
        ("libceph-common.so.2", f"{HOME}/libceph-common.so.2", "")
    ]


def test_a_private_folder_is_found_by_who_needs_it(lab: Lab) -> None:
    """The library that RUNPATH leads to is replaced, and no other of its name."""
    private = lab.image / HOME / "ceph" / "libst.so.1"
    private.parent.mkdir()
    shutil.copy(lab.image / HOME / "libst.so.1.0.0", private)
    compiled(
        lab.image / "usr/bin/rados",
        "int st_new(void); int main(void) {return st_new();}",
        *(lab.build / "lib/libst.so.1.1.0", f"-Wl,-rpath,/{HOME}/ceph"),
    )
    assert places(lab.plan(undefined("st_new"))) == [("libst.so.1.1.0", f"{HOME}/ceph/libst.so.1", "")]


def test_a_damaged_library_is_replaced(lab: Lab) -> None:
    """The loader tells the path of the file that it cannot use."""
    (lab.image / HOME / "libst.so.1.0.0").write_bytes(b"")
    found = missing(f"/{HOME}/libst.so.1", words="file too short")
    assert places(lab.plan(found)) == [("libst.so.1.1.0", f"{HOME}/libst.so.1.0.0", "")]


def test_a_library_of_another_class_is_replaced(lab: Lab) -> None:
    """Where the file is in the way of the soname."""
    library(lab.image / HOME / "libst.so.1.0.0", "libst.so.1", "int a(void) {return 1;}", "-m32", "-nostdlib")
    found = missing("libst.so.1", words="wrong ELF class: ELFCLASS32")
    assert places(lab.plan(found)) == [("libst.so.1.1.0", f"{HOME}/libst.so.1.1.0", f"{HOME}/libst.so.1")]


def test_one_library_mends_many_tools(lab: Lab) -> None:
    """It is added once."""
    shutil.copy(lab.image / "usr/bin/rados", lab.image / "usr/bin/rbd")
    repair = lab.plan(undefined("st_new"), undefined("st_new", "/usr/bin/rbd", "rbd"))
    assert len(repair.placements) == 1
    assert repair.unmended == ()


def test_tools_that_are_well_need_nothing(lab: Lab) -> None:
    """And get nothing."""
    assert lab.plan(diagnose("rados", Ending(0, b"ceph version 16", path="/usr/bin/rados"))) == Repair()


def test_the_install_tree_comes_first(lab: Lab) -> None:
    """Its run paths are those of an installed library; those of the build folder lead nowhere in an image."""
    installed = lab.build / "install/usr/lib/libst.so.1.1.0"
    installed.parent.mkdir(parents=True)
    shutil.copy(lab.build / "lib/libst.so.1.1.0", installed)
    assert [item.candidate.path for item in lab.plan(undefined("st_new")).placements] == [installed.resolve()]


def test_a_stale_install_tree_is_passed_over(lab: Lab) -> None:
    """What lacks the symbol too is no candidate."""
    installed = lab.build / "install/usr/lib/libst.so.1.0.0"
    installed.parent.mkdir(parents=True)
    shutil.copy(lab.image / HOME / "libst.so.1.0.0", installed)
    assert places(lab.plan(undefined("st_new")))[0][0] == "libst.so.1.1.0"


def test_a_version_that_is_asked_for_is_found(lab: Lab) -> None:
    """Only a copy that defines the symbol in that version helps."""
    versions = "V_1 {global: st_old; local: *;};"
    versioned(lab.build / "lib/libst.so.1.1.0", "libst.so.1", "int st_old(void) {return 1;}", versions)
    new = versioned(
        lab.build / "lib/libst.so.1.2.0",
        "libst.so.1",
        "int st_old(void) {return 1;} int st_new(void) {return 1;}",
        f"{versions} V_2 {{global: st_new;}} V_1;",
    )
    compiled(lab.image / "usr/bin/rados", "int st_new(void); int main(void) {return st_new();}", new)
    said = f"rados: /{HOME}/libst.so.1: version `V_2' not found (required by rados)"
    by_version = diagnose("rados", Ending(1, said.encode(), path="/usr/bin/rados"))
    for found in (by_version, undefined("st_new, version V_2")):
        assert places(lab.plan(found)) == [("libst.so.1.2.0", f"{HOME}/libst.so.1.0.0", "")]


class TestClosure:
    """A candidate brings what it needs and nobody has."""

    @pytest.fixture
    def chain(self, lab: Lab) -> Lab:
        """The build's libst needs libin, which needs libdeep; the image has neither."""
        deep = library(lab.build / "lib/libdeep.so.3", "libdeep.so.3", "int deep(void) {return 1;}")
        inner = library(
            lab.build / "lib/libin.so.2", "libin.so.2", "int deep(void); int in(void) {return deep();}", deep
        )
        library(
            lab.build / "lib/libst.so.1.1.0",
            "libst.so.1",
            "int in(void); int st_new(void) {return in();}",
            inner,
        )
        return lab

    def test_libraries_come_along(self, chain: Lab) -> None:
        """And those that they need, each with its reason."""
        repair = chain.plan(undefined("st_new"))
        assert [item.candidate.soname for item in repair.placements] == [
            "libst.so.1",
            "libin.so.2",
            "libdeep.so.3",
        ]
        assert [item.why for item in repair.placements[1:]] == [
            "libst.so.1 needs libin.so.2",
            "libin.so.2 needs libdeep.so.3",
        ]

    def test_what_the_image_has_stays(self, chain: Lab) -> None:
        """A library that does is not replaced."""
        shutil.copy(chain.build / "lib/libin.so.2", chain.image / HOME / "libin.so.2")
        shutil.copy(chain.build / "lib/libdeep.so.3", chain.image / HOME / "libdeep.so.3")
        assert len(chain.plan(undefined("st_new")).placements) == 1

    def test_what_the_image_has_of_old_is_replaced(self, chain: Lab) -> None:
        """Where a candidate needs a symbol of it that it lacks."""
        shutil.copy(chain.build / "lib/libdeep.so.3", chain.image / HOME / "libdeep.so.3")
        library(chain.image / HOME / "libin.so.2", "libin.so.2", "int other(void) {return 1;}")
        repair = chain.plan(undefined("st_new"))
        assert places(repair)[1:] == [("libin.so.2", f"{HOME}/libin.so.2", "")]
        assert repair.placements[1].why == "libst.so.1 needs its in"

    def test_a_candidate_without_what_it_needs_is_refused(self, chain: Lab) -> None:
        """The reason names what is nowhere."""
        (chain.build / "lib/libdeep.so.3").unlink()
        assert chain.why_not(undefined("st_new")) == (
            "rados: libin.so.2 of the build needs libdeep.so.3, and neither image nor build has it"
        )

    def test_a_libc_that_is_too_old_is_told(self, lab: Lab) -> None:
        """A build on a newer distribution needs versions that the image's libc does not define."""
        libc = versioned(
            lab.image / HOME / "libc.so.6",
            "libc.so.6",
            "int f(void) {return 1;}",
            "GLIBC_2.2.5 {global: f;};",
        )
        new = versioned(
            lab.build / "other/libc.so.6",
            "libc.so.6",
            "int f(void) {return 1;} int g(void) {return 1;}",
            "GLIBC_2.2.5 {global: f;}; GLIBC_2.99 {global: g;} GLIBC_2.2.5;",
        )
        library(
            lab.build / "lib/libst.so.1.1.0",
            "libst.so.1",
            "int g(void); int st_new(void) {return g();}",
            *(new, "-nostdlib"),
        )
        assert libc.exists()
        assert lab.why_not(undefined("st_new")) == (
            "rados: libst.so.1.1.0 of the build needs libc.so.6 with GLIBC_2.99,"
            " and neither image nor build has it"
        )


class TestReasons:
    """What cannot be mended is told with the reason."""

    def test_no_candidate(self, lab: Lab) -> None:
        """Nothing in the build is of that name, or defines that symbol."""
        assert lab.why_not(missing("libno.so.1")) == "rados: the build has no libno.so.1"
        assert lab.why_not(undefined("st_none")) == "rados: no library of the build defines st_none"

    def test_a_candidate_that_nobody_loads(self, lab: Lab) -> None:
        """A library of another soname defines the symbol, but would not be loaded."""
        library(lab.build / "lib/libst.so.2", "libst.so.2", "int st_none(void) {return 1;}")
        assert lab.why_not(undefined("st_none")) == (
            "rados: libst.so.2 of the build defines st_none, but rados does not load it"
        )

    def test_a_candidate_for_another_architecture(self, lab: Lab) -> None:
        """It would be passed over by the loader."""
        source = "int no(void) {return 1;}"
        library(lab.build / "lib/libno.so.1", "libno.so.1", source, "-m32", "-nostdlib")
        assert lab.why_not(missing("libno.so.1")) == (
            "rados: the libno.so.1 of the build is made for another architecture"
        )

    def test_no_matter_of_libraries(self, lab: Lab) -> None:
        """A tool that crashes is not mended by any."""
        assert lab.why_not(diagnose("rados", Ending(139, path="/usr/bin/rados"))) == (
            "rados: no library mends that: crashed, killed by SIGSEGV"
        )

    def test_a_library_that_was_tried_and_did_not_help(self, lab: Lab) -> None:
        """It is not tried again."""
        before = lab.plan(undefined("st_new"))
        after = lab.plan(undefined("st_new"), before=before)
        assert after.placements == before.placements
        assert after.unmended == ("rados: libst.so.1.1.0 of the build does not help",)


def test_what_wants_a_symbol_that_nothing_defines_is_replaced_itself(lab: Lab) -> None:
    """As a librbd of the base, after libceph-common of the build dropped what it used."""
    old = library(
        lab.image / HOME / "librbd.so.1",
        "librbd.so.1",
        "int dropped(void); int rbd(void) {return dropped();}",
    )
    library(lab.build / "lib/librbd.so.1", "librbd.so.1", "int rbd(void) {return 1;}")
    compiled(
        lab.image / "usr/bin/rbd",
        "int rbd(void); int main(void) {return rbd();}",
        old,
        "-Wl,--allow-shlib-undefined",
    )
    repair = lab.plan(undefined("dropped", f"/{HOME}/librbd.so.1", "rbd"))
    assert places(repair) == [("librbd.so.1", f"{HOME}/librbd.so.1", "")]
    assert repair.placements[0].why == "the one in the image wants dropped"


def test_a_second_round_adds_to_the_first(lab: Lab) -> None:
    """A loader tells one trouble at a time."""
    library(lab.build / "lib/libin.so.2", "libin.so.2", "int in(void) {return 1;}")
    before = lab.plan(undefined("st_new"))
    after = lab.plan(missing("libin.so.2"), before=before)
    assert after.placements[0] == before.placements[0]
    assert [item.candidate.soname for item in after.placements] == ["libst.so.1", "libin.so.2"]


class TestGlobs:
    """FIX_LIBS overrides what would be found."""

    @pytest.mark.parametrize("glob", ["libin.so.2", "libin.so.2.0.0", "libin*", "*in.so"])
    def test_the_named_files_are_added(self, lab: Lab, glob: str) -> None:
        """By soname, file name or link; and nothing but those."""
        library(lab.build / "lib/libin.so.2.0.0", "libin.so.2", "int in(void) {return 1;}")
        (lab.build / "lib/libin.so").symlink_to("libin.so.2.0.0")
        repair = lab.plan(undefined("st_new"), globs=[glob])
        assert places(repair) == [("libin.so.2.0.0", f"{HOME}/libin.so.2.0.0", f"{HOME}/libin.so.2")]

    def test_of_one_soname_the_first_is_added(self, lab: Lab) -> None:
        """The install tree's, where it has one."""
        installed = lab.build / "install/libst.so.1.1.0"
        installed.parent.mkdir()
        shutil.copy(lab.build / "lib/libst.so.1.1.0", installed)
        (placement,) = lab.plan(undefined("st_new"), globs=["libst*"]).placements
        assert placement == Placement(
            placement.candidate, f"{HOME}/libst.so.1.0.0", "", "FIX_LIBS names libst*"
        )
        assert placement.candidate.path == installed.resolve()

    def test_a_name_of_nothing_is_told(self, lab: Lab) -> None:
        """As is one of libraries for another architecture."""
        with pytest.raises(LibraryNotFound, match=r"no library of the build is named libno\*"):
            lab.plan(undefined("st_new"), globs=["libno*"])
        source = "int no(void) {return 1;}"
        library(lab.build / "lib/libno.so.1", "libno.so.1", source, "-m32", "-nostdlib")
        with pytest.raises(LibraryNotFound, match="made for the image's architecture"):
            lab.plan(undefined("st_new"), globs=["libno*"])


def test_candidates_are_libraries_only(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    """Text, archives and dangling links among them are passed over, and a damaged one is warned of."""
    (lab.build / "lib/libtext.so").write_text("INPUT(libst.so.1)")
    (lab.build / "lib/libgone.so.1").symlink_to("libgone.so.1.0.0")
    (lab.build / "lib/libhalf.so.1").write_bytes((lab.build / "lib/libst.so.1.1.0").read_bytes()[:2000])
    found = candidates([lab.build / "lib", lab.build / "none"])
    assert [item.names for item in found] == [("libst.so", "libst.so.1", "libst.so.1.1.0")]
    assert "libhalf.so.1 is a damaged ELF file" in capsys.readouterr().err
