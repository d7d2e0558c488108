"""Checks and repairs of a real Ceph: no false alarm, and its real libraries mend it."""

import hashlib
import re
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from cephtasks import checks, intake, oci, pack, repair, settings, tools
from cephtasks.contents import contents_of
from cephtasks.delivery import deliver
from cephtasks.demangling import demangled
from cephtasks.elf import Symbol
from cephtasks.engine import Engine, RunSpec
from cephtasks.errors import NothingMends
from cephtasks.findings import Fault, Problem
from cephtasks.intake import Places
from cephtasks.keys import CEPH_TOOLS
from cephtasks.loader import Loader
from cephtasks.repairs import Repairs
from cephtasks.settings import Settings
from cephtasks.store import Store
from cephtasks.tree import Entry, Kind
from lab import ceph
from lab.places import places
from lab.programs import library

TOOLS = CEPH_TOOLS.split()


@dataclass(frozen=True)
class Lab:
    """The real image in a store, and images like it that are broken somewhere."""

    engine: Engine
    store: Store
    image: oci.Image
    loader: Loader
    folder: Path

    @property
    def places(self) -> Places:
        """Where its images are."""
        return places(self.engine, self.store)

    def path_of(self, soname: str, tool: str) -> str:
        """Where a tool finds a library."""
        return self.loader.walk(self.loader.program(tool) or "")[soname]

    def read(self, path: str) -> bytes:
        """A file of the real image."""
        content = bytearray()
        self.engine.run(RunSpec(ceph.IMAGE, (f"/{path}",), ("cat",)), content.extend, content.extend)
        return bytes(content)

    def broken(self, name: str, files: Mapping[str, bytes | str]) -> None:
        """Give a name to the real image with other files: a text is the target of a symlink."""
        entries: dict[str, Entry] = {}
        sources: dict[str, Path] = {}
        for path, content in files.items():
            if isinstance(content, str):
                entries[path] = Entry(path, Kind.SYMLINK, 0o777, target=content)
                continue
            sha256 = hashlib.sha256(content).hexdigest()
            sources[path] = self.folder / sha256
            sources[path].write_bytes(content)
            entries[path] = Entry(path, Kind.FILE, 0o755, len(content), sha256)
        broken = pack.append(places(self.engine, self.store), self.image, entries, sources, Repairs(), "gzip")
        deliver(self.store, self.engine, broken, name, near=[ceph.IMAGE])


@pytest.fixture(scope="module")
def lab(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The real image, read into a store once."""
    folder = tmp_path_factory.mktemp("ceph")
    store = Store(folder / "state" / "images")
    image = intake.from_engine(engine, store, engine.require_image(ceph.IMAGE, "script/bootstrap"), "gzip")
    with contents_of(store, image) as contents:
        yield Lab(engine, store, image, contents.loader, folder)


@pytest.fixture
def name(engine: Engine) -> Iterator[str]:
    """A name for a broken image, which goes with the test."""
    given = f"cephtasks-test/broken-{uuid.uuid4().hex[:12]}:latest"
    yield given
    if engine.image(given) is not None:
        engine.untag(given)


@pytest.fixture
def given(lab: Lab, name: str, tmp_path: Path) -> Callable[[str], Settings]:
    """Settings with which a broken image is mended by real libraries in a build folder."""
    (tmp_path / "build" / "lib").mkdir(parents=True)

    def settings_for(tools: str) -> Settings:
        values = {
            "SOURCE_DIR": str(tmp_path),
            "IMAGE_NAME": name,
            "STATE_DIR": str(lab.folder / "state"),
            "CHECK_TOOLS": tools,
        }
        return settings.load(values, environment={})

    return settings_for


def build_has(given: Callable[[str], Settings], lab: Lab, path: str) -> None:
    """Put a library of the real image into the build's folder."""
    (given("rados").source_dir / "build" / "lib" / Path(path).name).write_bytes(lab.read(path))


def test_a_real_ceph_is_well(engine: Engine) -> None:
    """No tool of it gives a false alarm."""
    found = tools.start(ceph.IMAGE, TOOLS, engine)
    assert [(finding.tool, finding.problem) for finding in found] == [(tool, None) for tool in TOOLS]
    assert {finding.detail.split(" (")[0] for finding in found} == {"ceph version 16.2.15"}


def test_one_container_is_faster_than_nine(engine: Engine) -> None:
    """All tools take at most a quarter of the time of a `docker run` for each."""

    def seconds(act: Callable[[], object]) -> float:
        started = time.monotonic()
        act()
        return time.monotonic() - started

    def apart() -> None:
        for tool in TOOLS:
            command = [
                "docker",
                "run",
                "--rm",
                "--network=none",
                f"--entrypoint={tool}",
                ceph.IMAGE,
                "--version",
            ]
            subprocess.run(command, check=True, capture_output=True)

    together = min(seconds(lambda: tools.start(ceph.IMAGE, TOOLS, engine)) for _ in range(3))
    assert together <= 0.25 * min(seconds(apart) for _ in range(3))


def test_libraries_are_found_where_the_loader_finds_them(lab: Lab) -> None:
    """For every library of every tool the path is the one that ldd tells in the image."""
    listing = bytearray()
    programs = [f"/{lab.loader.program(tool)}" for tool in TOOLS if tool != "ceph"]
    script = 'for program; do echo "$program"; ldd "$program"; done'
    spec = RunSpec(ceph.IMAGE, ("-c", script, "sh", *programs), ("sh",))
    lab.engine.run(spec, listing.extend, listing.extend)
    told: dict[str, dict[str, str]] = {}
    for line in listing.decode().splitlines():
        found = re.fullmatch(r"\t(\S+) => /(\S+) \(.*", line)
        if not line.startswith("\t"):
            current = told.setdefault(line, {})
        elif found:
            current[found[1]] = _real(lab, found[2])
    assert len(told) == len(programs)
    for program, paths in told.items():
        walked = lab.loader.walk(program)
        assert {soname: walked[soname] for soname in paths} == paths
        assert set(walked) - set(paths) <= {"ld-linux-x86-64.so.2"}


def test_an_older_library_is_replaced(lab: Lab, name: str, given: Callable[[str], Settings]) -> None:
    """The seed's own fault: a libradosstriper that lacks a symbol which rados needs."""
    path = lab.path_of("libradosstriper.so.1", "rados")
    rados, striper = lab.loader.object_at("usr/bin/rados"), lab.loader.object_at(path)
    assert rados is not None
    assert striper is not None
    symbol = min(rados.undefined & striper.defined)
    lab.broken(name, {path: _without(symbol, lab.read(path))})
    build_has(given, lab, path)
    (finding,) = checks.check(given("rados"), lab.places, name).faulty
    assert (finding.tool, finding.exit_code, finding.problem) == ("rados", 127, Problem.UNDEFINED_SYMBOL)
    assert (finding.symbols, finding.picked) == ((symbol,), f"/{path}")
    assert finding.better.endswith(f"/build/lib/{Path(path).name}")
    assert demangled(symbol.name) in finding.told
    fixed = repair.fix(given("rados rbd"), lab.places)
    assert [item.path for item in fixed.repair.placements] == [path]
    assert [finding.ok for finding in fixed.findings] == [True, True]


def test_a_missing_library_is_added(lab: Lab, name: str, given: Callable[[str], Settings]) -> None:
    """libceph-common, which is private to Ceph; only ceph-osd carries its own."""
    path = lab.path_of("libceph-common.so.2", "rados")
    lab.broken(name, {path: "gone"})
    found = checks.check(given(" ".join(TOOLS)), lab.places, name).findings
    assert {finding.tool: finding.problem for finding in found if finding.tool in TOOLS} == {
        tool: None if tool == "ceph-osd" else Problem.MISSING_LIBRARY for tool in TOOLS
    }
    assert {finding.fault.library for finding in found if finding.fault} == {"libceph-common.so.2"}
    build_has(given, lab, path)
    fixed = repair.fix(given(" ".join(TOOLS)), lab.places)
    assert len(fixed.repair.placements) == 1
    assert all(finding.ok for finding in fixed.findings)


def test_a_missing_python_module_is_told_and_added(
    lab: Lab, name: str, given: Callable[[str], Settings]
) -> None:
    """The binding of librados: by Python, and by looking at each script that imports it."""
    binding = next(path for path in lab.loader.files if re.search(r"/rados\.cpython-\S+\.so$", path))
    lab.broken(name, {binding: "gone"})
    faulty = checks.check(given("ceph"), lab.places, name).faulty
    (finding,) = (finding for finding in faulty if finding.tool == "ceph")
    assert (finding.problem, finding.fault) == (Problem.FAILED, Fault(module="rados"))
    before = lab.engine.require_image(name, "").id
    with pytest.raises(NothingMends):
        repair.fix(given("ceph"), lab.places)
    assert lab.engine.require_image(name, "").id == before
    build_has(given, lab, binding)
    fixed = repair.fix(given("ceph"), lab.places)
    assert [item.path for item in fixed.repair.placements] == [binding]
    assert all(finding.ok for finding in fixed.findings)


def test_a_library_behind_a_python_module_is_added(
    lab: Lab, name: str, given: Callable[[str], Settings]
) -> None:
    """Python passes on what the loader says of librados."""
    path = lab.path_of("librados.so.2", "rados")
    lab.broken(name, {path: "gone"})
    build_has(given, lab, path)
    fixed = repair.fix(given("ceph rados"), lab.places)
    assert [finding.ok for finding in fixed.findings] == [True, True]


_FOREIGN = "is only there for another architecture, at"
_IN_A_BUILD = (
    "libprivate.so.1 is not in the image and is looked for in the build folder /ceph/build/lib"
    " (in /usr/bin/ceph-osd)"
)
_GONE = "version LIBRADOS_14.2.0 of librados.so.2, which the loader finds at /{}, is not there"
_SKEWED = "is of Ceph 16.2.14, and ceph-osd, which is of 16.2.15, refuses it (in /usr/bin/ceph-osd)"


@dataclass(frozen=True)
class Breakage:
    """Other content for a file of the real image, and the finding that is to tell of it."""

    path: str
    content: bytes
    problem: Problem
    told: str


def _version_gone(lab: Lab, folder: Path) -> Breakage:
    """A librados of another build, which does not define a version that rados wants."""
    path = lab.path_of("librados.so.2", "rados")
    content = lab.read(path).replace(b"\0LIBRADOS_14.2.0\0", b"\0LIBRADOS_99.2.0\0")
    return Breakage(path, content, Problem.UNDEFINED_SYMBOL, _GONE.format(path))


def _plugin_unbound(lab: Lab, folder: Path) -> Breakage:
    """A class that only the dlopen of an OSD would show to lack something."""
    path = _file(lab, r"/rados-classes/libcls_lock\.so\.1\.0\.0$")
    source = "int cls_no_such_call(void); int __cls_init(void) {return cls_no_such_call();}"
    made = library(folder / "libcls_lock.so", "libcls_lock.so.1", source)
    return Breakage(
        path,
        made.read_bytes(),
        Problem.UNDEFINED_SYMBOL,
        "cls_no_such_call is not there (in /usr/bin/ceph-osd)",
    )


def _plugin_skewed(lab: Lab, folder: Path) -> Breakage:
    """An erasure-code plugin of an older Ceph, which its daemons refuse."""
    path = _file(lab, r"/erasure-code/libec_jerasure\.so$")
    content = lab.read(path)
    assert content.count(b"\x0016.2.15\0") == 1
    older = content.replace(b"\x0016.2.15\0", b"\x0016.2.14\0")
    return Breakage(path, older, Problem.FAILED, _SKEWED)


def _for_another_machine(lab: Lab, folder: Path) -> Breakage:
    """An arm64 library where the loader finds the one for this machine."""
    path = lab.path_of("libradosstriper.so.1", "rados")
    content = bytearray(lab.read(path))
    content[18:20] = (183).to_bytes(2, "little")  # e_machine
    return Breakage(
        path, bytes(content), Problem.WRONG_ARCHITECTURE, f"libradosstriper.so.1 {_FOREIGN} /{path}"
    )


def _of_32_bits(lab: Lab, folder: Path) -> Breakage:
    """A library of 32 bits in the way."""
    path = lab.path_of("libradosstriper.so.1", "rados")
    made = library(folder / "libst.so", "libradosstriper.so.1", "int one;", "-m32", "-nostdlib")
    return Breakage(
        path, made.read_bytes(), Problem.WRONG_ARCHITECTURE, f"libradosstriper.so.1 {_FOREIGN} /{path}"
    )


def _runpath_to_a_build(lab: Lab, folder: Path) -> Breakage:
    """A library that was copied out of the build folder, not installed, and finds another only there."""
    path = _file(lab, r"/compressor/libceph_zlib\.so\.2\.0\.0$")
    private = library(folder / "libprivate.so.1", "libprivate.so.1", "int one(void) {return 1;}")
    source = "int one(void); int two(void) {return one();}"
    made = library(
        folder / "libceph_zlib.so", "libceph_zlib.so.2", source, private, "-Wl,-rpath,/ceph/build/lib"
    )
    return Breakage(path, made.read_bytes(), Problem.MISSING_LIBRARY, _IN_A_BUILD)


def _script_without_interpreter(lab: Lab, folder: Path) -> Breakage:
    """A tool written in what the image does not have."""
    return Breakage(
        "usr/bin/rbd-replay-prep",
        b"#!/usr/bin/python2\nprint 1\n",
        Problem.NOT_FOUND,
        "its interpreter /usr/bin/python2 is not in the image",
    )


BREAKAGES = {
    "a version that is gone": (_version_gone, True),
    "a class with an undefined symbol": (_plugin_unbound, True),
    "an erasure-code plugin of another Ceph": (_plugin_skewed, True),
    "a library for arm64": (_for_another_machine, True),
    "a library of 32 bits": (_of_32_bits, True),
    "a RUNPATH to a build folder": (_runpath_to_a_build, True),
    "a script without its interpreter": (_script_without_interpreter, False),
}


@pytest.mark.parametrize(("breaking", "mends"), BREAKAGES.values(), ids=BREAKAGES)
def test_what_breaks_is_found_and_mended(
    lab: Lab,
    name: str,
    given: Callable[[str], Settings],
    tmp_path: Path,
    breaking: Callable[[Lab, Path], Breakage],
    mends: bool,
) -> None:
    """Check names the file, and what it lacks; fix puts the build's in its place, or says that it cannot."""
    broken = breaking(lab, tmp_path)
    real = lab.read(broken.path)
    lab.broken(name, {broken.path: broken.content})
    if mends:
        build_has(given, lab, broken.path)
    chosen = given("rados ceph-mon")
    found = {(finding.problem, finding.detail) for finding in checks.check(chosen, lab.places, name).faulty}
    assert (broken.problem, broken.told) in found
    if not mends:
        with pytest.raises(NothingMends):
            repair.fix(chosen, lab.places)
        return
    fixed = repair.fix(chosen, lab.places)
    assert all(finding.ok for finding in fixed.findings)
    assert [item.path for item in fixed.repair.placements] == [broken.path]
    seen = bytearray()
    lab.engine.run(RunSpec(name, (f"/{broken.path}",), ("cat",)), seen.extend, seen.extend)
    assert bytes(seen) == real


def test_no_file_of_a_real_ceph_gives_a_false_alarm(lab: Lab, given: Callable[[str], Settings]) -> None:
    """Of all its programs, libraries, plugins and scripts."""
    checked = checks.check(given(" ".join(TOOLS)), lab.places, ceph.IMAGE, deep=True)
    assert checked.faulty == ()
    assert checked.objects > 1000
    assert checked.scripts > 100


def _file(lab: Lab, pattern: str) -> str:
    """The path of the real image's file that a pattern names."""
    (path,) = (path for path in lab.loader.files if re.search(pattern, f"/{path}"))
    return path


def _real(lab: Lab, path: str) -> str:
    """A path without symlinks."""
    return lab.loader.program(f"/{path}") or ""


def _without(symbol: Symbol, library: bytes) -> bytes:
    """A library in which a symbol has another name, as if it had never been there."""
    name = symbol.name.encode()
    assert name in library
    return library.replace(b"\0" + name + b"\0", b"\0" + name[:-1] + b"#\0")
