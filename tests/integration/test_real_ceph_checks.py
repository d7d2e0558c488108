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

from cephtasks import checks, intake, oci, pack, repair, settings
from cephtasks.delivery import deliver
from cephtasks.elf import Symbol
from cephtasks.engine import Engine, RunSpec
from cephtasks.errors import NothingMends
from cephtasks.findings import Problem
from cephtasks.keys import CEPH_TOOLS
from cephtasks.libraries import loader_of
from cephtasks.loader import Loader
from cephtasks.repairs import Repairs
from cephtasks.settings import Settings
from cephtasks.store import Store
from cephtasks.tree import Entry, Kind
from lab import ceph
from lab.places import places

TOOLS = CEPH_TOOLS.split()


@dataclass(frozen=True)
class Lab:
    """The real image in a store, and images like it that are broken somewhere."""

    engine: Engine
    store: Store
    image: oci.Image
    loader: Loader
    folder: Path

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
    with loader_of(store, image) as loader:
        yield Lab(engine, store, image, loader, folder)


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
    found = checks.check(ceph.IMAGE, TOOLS, engine)
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

    together = min(seconds(lambda: checks.check(ceph.IMAGE, TOOLS, engine)) for _ in range(3))
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
    (finding,) = checks.check(name, ["rados"], lab.engine)
    assert (finding.exit_code, finding.problem) == (127, Problem.UNDEFINED_SYMBOL)
    assert symbol.name in finding.detail
    build_has(given, lab, path)
    fixed = repair.fix(given("rados rbd"), places(lab.engine, lab.store))
    assert [item.path for item in fixed.repair.placements] == [path]
    assert [finding.ok for finding in fixed.findings] == [True, True]


def test_a_missing_library_is_added(lab: Lab, name: str, given: Callable[[str], Settings]) -> None:
    """libceph-common, which is private to Ceph; only ceph-osd carries its own."""
    path = lab.path_of("libceph-common.so.2", "rados")
    lab.broken(name, {path: "gone"})
    found = checks.check(name, TOOLS, lab.engine)
    assert {finding.tool: finding.problem for finding in found} == {
        tool: None if tool == "ceph-osd" else Problem.MISSING_LIBRARY for tool in TOOLS
    }
    build_has(given, lab, path)
    fixed = repair.fix(given(" ".join(TOOLS)), places(lab.engine, lab.store))
    assert len(fixed.repair.placements) == 1
    assert all(finding.ok for finding in fixed.findings)


def test_a_missing_python_module_is_told(lab: Lab, name: str, given: Callable[[str], Settings]) -> None:
    """The binding of librados, which no library of the build replaces."""
    binding = next(path for path in lab.loader.files if re.search(r"/rados\.cpython-\S+\.so$", path))
    lab.broken(name, {binding: "gone"})
    (finding,) = checks.check(name, ["ceph"], lab.engine)
    assert (finding.ok, finding.problem) == (False, Problem.FAILED)
    assert "rados" in finding.detail
    before = lab.engine.require_image(name, "").id
    with pytest.raises(NothingMends):
        repair.fix(given("ceph"), places(lab.engine, lab.store))
    assert lab.engine.require_image(name, "").id == before


def test_a_library_behind_a_python_module_is_added(
    lab: Lab, name: str, given: Callable[[str], Settings]
) -> None:
    """Python passes on what the loader says of librados."""
    path = lab.path_of("librados.so.2", "rados")
    lab.broken(name, {path: "gone"})
    build_has(given, lab, path)
    fixed = repair.fix(given("ceph rados"), places(lab.engine, lab.store))
    assert [finding.ok for finding in fixed.findings] == [True, True]


def _real(lab: Lab, path: str) -> str:
    """A path without symlinks."""
    return lab.loader.program(f"/{path}") or ""


def _without(symbol: Symbol, library: bytes) -> bytes:
    """A library in which a symbol has another name, as if it had never been there."""
    name = symbol.name.encode()
    assert name in library
    return library.replace(b"\0" + name + b"\0", b"\0" + name[:-1] + b"#\0")
