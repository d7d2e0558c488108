"""Miniceph, compiled in the builder container as a person's own tree is, and put on its base."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from cephtasks import builder, settings
from cephtasks.builder import OUR_BUILDER, Compiled
from cephtasks.engine import Engine
from cephtasks.settings import Settings
from cephtasks.source import Source

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "miniceph"
BASE = "cephtasks/miniceph-base:latest"
TOOLS = ("ceph", "ceph-fuse", "rados", "rbd", "ceph-mon", "ceph-osd", "ceph-mds", "ceph-mgr", "radosgw")


@dataclass(frozen=True)
class Example:
    """A copy of the example that was compiled, and what it takes to compile it again."""

    source: Source
    settings: Settings
    compiled: Compiled

    def digests(self) -> dict[str, bytes]:
        """The installed files."""
        tree = self.compiled.tree
        return {
            str(path.relative_to(tree)): path.read_bytes()
            for path in tree.rglob("*")
            if path.is_file() and not path.is_symlink()
        }


@pytest.fixture(scope="module")
def example(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Example:
    """Release 2 of miniceph, with its tests."""
    scratch = tmp_path_factory.mktemp("miniceph")
    folder = scratch / "ceph"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("build"))
    flags = {
        "SOURCE_DIR": str(folder),
        "CONFIGURE_FLAGS": "-DWITH_TESTS=ON",
        "STATE_DIR": str(scratch / "state"),
    }
    given = settings.load(flags, folder=scratch, environment={})
    source = Source(folder, None, False, "", None)
    return Example(source, given, builder.compile(source, given, engine))


def on_base(*volumes: str, words: Sequence[str], entrypoint: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command in a container of the base."""
    command = ["docker", "run", "--rm", "--network=none", *(f"--volume={volume}" for volume in volumes)]
    command += [f"--entrypoint={entrypoint}"] if entrypoint else []
    return subprocess.run([*command, BASE, *words], check=False, capture_output=True, text=True)


def packed(example: Example, script: str) -> subprocess.CompletedProcess[str]:
    """Run a shell script on the base with the install tree laid over it."""
    volume = f"{example.compiled.build}:/built:ro"
    return on_base(volume, words=["-ec", f"cp -a /built/install/. /; {script}"], entrypoint="sh")


def test_the_base_runs_release_1() -> None:
    """Its entrypoint makes a cluster, its command asks for its state, and every tool is of release 1."""
    assert '"version": "1.0.0-miniceph"' in on_base(words=[]).stdout
    for tool in TOOLS:
        done = on_base(words=["--version"], entrypoint=tool)
        assert done.stdout == "ceph version 1.0.0-miniceph (release 1)\n", done.stderr


def test_all_tools_work_in_the_build_folder(example: Example) -> None:
    """The example's own test passes where it was built; nobody notices there what is not installed."""
    volume, user = f"{example.source.folder}:/ceph", f"{os.getuid()}:{os.getgid()}"
    command = ["docker", "run", "--rm", "--network=none", f"--user={user}", f"--volume={volume}"]
    command += ["--workdir=/ceph/build", OUR_BUILDER, "ctest", "--output-on-failure"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "100% tests passed, 0 tests failed out of 1" in done.stdout


def test_the_install_tree_is_laid_out_as_cephs(example: Example) -> None:
    """Tools, libraries, plugins and the Python module; no headers; one library is forgotten."""
    libraries = {path.name for path in (example.compiled.build / "lib").iterdir()}
    assert {"libradosstriper.so.1", "libceph-common.so.2", "libec_xor.so", "libcls_hello.so"} <= libraries
    names = {name.replace("/x86_64-linux-gnu", "") for name in example.digests()}
    assert names == {
        *(f"usr/bin/{tool}" for tool in TOOLS),
        "usr/lib/ceph/libceph-common.so.2",
        "usr/lib/ceph/erasure-code/libec_xor.so",
        "usr/lib/ceph/rados-classes/libcls_hello.so",
        "usr/lib/libcephfs.so.2.0.0",
        "usr/lib/librados.so.2.0.0",
        "usr/lib/librbd.so.1.0.0",
        "usr/lib/python3/dist-packages/rados.py",
    }


def test_release_2_meets_the_older_library_on_the_base(example: Example) -> None:
    """The planted fault: rados does not start, as the seed's did not; every other tool does."""
    done = packed(example, "rados --version")
    assert done.returncode == 127
    assert done.stderr.startswith("rados: symbol lookup error: rados: undefined symbol: _ZN15libradosstriper")
    others = [tool for tool in TOOLS if tool != "rados"]
    done = packed(example, "; ".join(f"LD_BIND_NOW=1 {tool} --version" for tool in others))
    assert done.stdout == "ceph version 2.0.0-miniceph (release 2)\n" * len(others), done.stderr


def test_the_library_of_the_build_folder_mends_it(example: Example) -> None:
    """With it rados starts, and does what is new in release 2."""
    script = """
        cp --dereference /built/lib/libradosstriper.so.1 /usr/lib/x86_64-linux-gnu/
        ceph-mon --mkfs
        rados --striper put file /etc/passwd
        rados --striper truncate file 4
        rados --striper get file /dev/stdout
    """
    done = packed(example, script)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("root")


def test_an_edit_changes_the_files_that_it_concerns(example: Example, engine: Engine) -> None:
    """What nobody touched is installed anew with the very same bytes."""
    before = example.digests()
    edited = example.source.folder / "src" / "ceph_mds.cc"
    edited.write_text(edited.read_text().replace("no command ", "there is no command "))
    builder.compile(example.source, example.settings, engine)
    after = example.digests()
    assert before.keys() == after.keys()
    assert [name for name in after if after[name] != before[name]] == ["usr/bin/ceph-mds"]
