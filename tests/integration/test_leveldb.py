"""LevelDB: a CMake project that nobody here wrote goes the whole way to an image."""

import json
from pathlib import Path

import pytest

from cephtasks.engine import Engine, RunSpec
from lab.debian import unpack_source
from lab.terminal import Terminal

# LevelDB installs its library, but leaves its tool in the build folder.
_BUILD = "build-cmake && install -D build/leveldbutil build/install/usr/bin/leveldbutil"
_BASE = "cephtasks/miniceph-base:latest"


@pytest.fixture
def terminal(tmp_path: Path, engine: Engine, image_name: str) -> Terminal:
    """A terminal whose `.env` names LevelDB's source, as it was released."""
    engine.require_image(_BASE, "script/bootstrap")
    made = Terminal(tmp_path)
    made.set(
        SOURCE_DIR=unpack_source("leveldb", tmp_path / "source"),
        SHA1_OR_REF="",
        BUILD_COMMAND=f"sh -c '{_BUILD}'",
        CONFIGURE_FLAGS="-DBUILD_SHARED_LIBS=ON -DLEVELDB_BUILD_TESTS=OFF -DLEVELDB_BUILD_BENCHMARKS=OFF",
        BUILD_THREADS=2,
        BASE_IMAGE=_BASE,
        IMAGE_NAME=f"{image_name}:leveldb",
        CHECK_TOOLS="'leveldbutil dump'",
        STATE_DIR=tmp_path / "state",
    )
    return made


def test_leveldb_is_compiled_packed_and_checked(terminal: Terminal, engine: Engine, image_name: str) -> None:
    """Compiled in the builder, packed onto a base, its tool works there; a second build changes nothing."""
    image = f"{image_name}:leveldb"
    built = terminal.invoke("build")
    assert built.returncode == 0, built.stderr
    assert built.stdout.splitlines() == [image]
    assert "configuring, as it never was" in built.stderr
    checked = terminal.invoke("check --json")
    assert checked.returncode == 0, checked.stderr
    assert [(found["tool"], found["ok"]) for found in json.loads(checked.stdout)] == [
        ("leveldbutil dump", True)
    ]
    said = bytearray()
    script = "ldd /usr/bin/leveldbutil; leveldbutil dump /etc/passwd"
    engine.run(RunSpec(image, ("-c", script), ("sh",)), said.extend, said.extend)
    assert b"libleveldb.so.1 => /lib/x86_64-linux-gnu/libleveldb.so.1" in said
    assert b"/etc/passwd: unknown file type" in said
    made = engine.require_image(image, "").id
    again = terminal.invoke("build")
    assert "not configuring, as nothing of it changed" in again.stderr
    assert engine.require_image(image, "").id == made
