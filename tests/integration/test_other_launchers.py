"""Launchers that no task sets up, sccache and icecream, as Debian packages them, in our builder image."""

import os
import re
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from cephtasks import build_dependencies
from cephtasks.builder import OUR_BUILDER
from cephtasks.engine import Engine
from lab.terminal import Terminal

_OWNER = 4711
_CONTROL = """Source: launched
Maintainer: Nobody <nobody@example.com>
Build-Depends: icecc, sccache

Package: launched
Architecture: any
Description: something to compile
"""
_CHANGELOG = (
    "launched (1) unstable; urgency=low\n\n  * First.\n\n"
    " -- Nobody <nobody@example.com>  Mon, 06 May 2024 07:08:09 +0200\n"
)
# What docs/builder.md tells, with the scheduler beside the daemon in place of on another machine.
_ICECREAM = """icecc-scheduler -d -n alone -p 8765 -l /tmp/scheduler
iceccd -d --no-remote -n alone -s 127.0.0.1 -b /tmp/icecc.d -l /tmp/daemon
exec build-cmake
"""


@pytest.fixture(scope="module")
def builder(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Our builder image with both launchers, brought in as what a source asks for."""
    folder = tmp_path_factory.mktemp("launchers")
    (recipe := folder / "recipe").mkdir()
    (recipe / "Dockerfile").write_text(f"ARG BASE={OUR_BUILDER}\nFROM ${{BASE}}\n")
    for part in ("packages.txt", "build-cmake"):
        (recipe / part).touch()
    (source := folder / "source/debian").mkdir(parents=True)
    (source / "control").write_text(_CONTROL)
    (source / "changelog").write_text(_CHANGELOG)
    name = f"cephtasks-test/{uuid.uuid4().hex[:12]}:launchers"
    build_dependencies.make(name, recipe, source.parent, engine)
    yield name
    engine.untag(name)


@pytest.fixture
def terminal(builder: str, tmp_path: Path) -> Terminal:
    """A source of three files, and settings that compile it in that image."""
    folder = tmp_path / "ceph"
    folder.mkdir()
    for number in range(3):
        (folder / f"f{number}.cc").write_text(f"#include <map>\nint f{number}() {{ return {number}; }}\n")
    (folder / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.16)\nproject(few CXX)\nfile(GLOB files *.cc)\n"
        "add_library(few SHARED ${files})\ninstall(TARGETS few)\n"
    )
    for path in (folder, *folder.iterdir()):
        os.chown(path, _OWNER, _OWNER)  # icecream's daemons change to a user of their own where they can
    made = Terminal(tmp_path)
    made.set(
        BUILDER_IMAGE=builder,
        SOURCE_DIR=folder,
        STATE_DIR=tmp_path / "state",
        SHA1_OR_REF="",
        CCACHE_DIR=tmp_path / "cache",
    )
    return made


def command(terminal: Terminal, lines: str) -> None:
    """Give the tree a build command of its own."""
    script = terminal.folder / "ceph/its-command"
    script.write_text(f"#!/bin/sh\nset -eu\n{lines}")
    script.chmod(0o755)


def test_sccache_keeps_what_it_compiled(terminal: Terminal) -> None:
    """A wiped tree comes from its folder, in the cache folder that all launchers have."""
    command(terminal, "build-cmake\nsccache --show-stats\n")
    for _ in range(2):
        done = terminal.invoke("compile --clean --compiler-launcher sccache --build-command ./its-command")
        assert done.returncode == 0, done.stderr
    assert re.search(r"^Cache hits +[34]$", done.stderr, re.MULTILINE), done.stderr  # cmake tries one too
    assert re.search(r"^Cache misses +0$", done.stderr, re.MULTILINE), done.stderr


def test_icecream_compiles(terminal: Terminal) -> None:
    """Through a daemon in the builder, which a scheduler knows."""
    command(terminal, _ICECREAM)
    socket = "--env ICECC_TEST_SOCKET=/tmp/icecc"
    done = terminal.invoke(f"compile --compiler-launcher icecc {socket} --build-command ./its-command")
    assert done.returncode == 0, done.stderr
    assert (terminal.folder / "ceph/build/install").is_dir()
