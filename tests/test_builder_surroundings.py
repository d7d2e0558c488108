"""What a builder finds around it: cache, capabilities, network, socket; and what is shown and kept of it."""

import os
import pty
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import platformdirs
import pytest

from cephtasks import builder, settings
from cephtasks.builder import launcher
from cephtasks.engine import Engine
from cephtasks.errors import CacheUnwritable, CompileFailed, LauncherMissing
from cephtasks.settings import Settings
from cephtasks.source import Source, describe
from lab.engines import tiny_image
from lab.terminal import Terminal

_OWNER = 4711
_INSTALL = "mkdir -p build/install && env > build/install/env\n"
# Stands in for ccache: what it was told is in the environment, and this is what it tells of a run.
_CCACHE = "printf '%s\\n' '# a.cc' direct_cache_hit '# b.cc' cache_miss '# c.cc' preprocessed_cache_hit"

MakeBuilder = Callable[..., str]


@pytest.fixture
def source(tmp_path: Path) -> Source:
    """A source tree that belongs to somebody who is not root."""
    folder = tmp_path / "ceph"
    folder.mkdir()
    (folder / "CMakeLists.txt").touch()
    os.chown(folder, _OWNER, _OWNER)
    return describe(folder)


@pytest.fixture
def chosen(tmp_path: Path) -> Settings:
    """Settings of the test's own."""
    flags = {"STATE_DIR": str(tmp_path / "state"), "SOURCE_DIR": str(tmp_path / "ceph")}
    return settings.load(flags, environment={}, folder=tmp_path)


@pytest.fixture
def make_builder(engine: Engine, image_name: str) -> MakeBuilder:
    """Make a builder image whose `build-cmake` is a script, with more programs by their name."""

    def make(script: str, **programs: str) -> str:
        name = f"{image_name}:builder"
        files = {
            f"usr/bin/{program}": f"#!/bin/sh\nset -e\n{text}\n".encode()
            for program, text in {"build-cmake": script, **programs}.items()
        }
        tiny_image(engine, name, "ENV PATH=/bin:/usr/bin", files=files)
        return name

    return make


def environment(compiled: builder.Compiled) -> dict[str, str]:
    """The variables that the builder got."""
    return dict(line.split("=", 1) for line in (compiled.tree / "env").read_text().splitlines())


def test_an_image_without_ccache_has_no_cache(
    engine: Engine, chosen: Settings, source: Source, make_builder: MakeBuilder, tmp_path: Path
) -> None:
    """An old image works unchanged: no launcher, no folder, no word."""
    told = replace(
        chosen, builder_image=make_builder(f"{_INSTALL}[ ! -e /ccache ]"), ccache_dir=tmp_path / "c"
    )
    compiled = builder.compile(source, told, engine)
    assert not [name for name in environment(compiled) if "LAUNCHER" in name or "CCACHE" in name]
    assert compiled.use is None
    assert not (tmp_path / "c").exists()


def test_an_image_with_ccache_has_one(
    engine: Engine, chosen: Settings, source: Source, make_builder: MakeBuilder, tmp_path: Path
) -> None:
    """CMake and ccache are told by variables; the folder is for who compiles; hits are counted."""
    image = make_builder(f'{_INSTALL}ccache > "$CCACHE_STATSLOG"; touch /ccache/mine', ccache=_CCACHE)
    folder = tmp_path / "cache"
    told = replace(chosen, builder_image=image, ccache_dir=folder, ccache_size=3 << 30)
    compiled = builder.compile(source, told, engine)
    got = environment(compiled)
    expected = {
        "CMAKE_C_COMPILER_LAUNCHER": "ccache",
        "CMAKE_CXX_COMPILER_LAUNCHER": "ccache",
        "CCACHE_DIR": "/ccache",
        "CCACHE_BASEDIR": "/ceph",
        "CCACHE_MAXSIZE": "3072Mi",
    }
    assert {name: got[name] for name in expected} == expected
    assert [(path.name, path.stat().st_uid) for path in folder.iterdir()] == [("mine", _OWNER)]
    assert compiled.use is not None
    assert (compiled.use.compiled, compiled.use.hits, compiled.use.percent) == (3, 2, 66)


def test_the_default_cache_is_in_the_users_cache_folder(
    engine: Engine, chosen: Settings, source: Source, make_builder: MakeBuilder
) -> None:
    """Root has one for each owner of sources, so that each can write to it."""
    told = replace(chosen, builder_image=make_builder(f"{_INSTALL}touch /ccache/mine", ccache=""))
    builder.compile(source, told, engine)
    assert (platformdirs.user_cache_path("cephtasks") / f"ccache-{_OWNER}" / "mine").exists()


def test_a_cache_that_cannot_be_written_is_told(
    engine: Engine, chosen: Settings, source: Source, make_builder: MakeBuilder, tmp_path: Path
) -> None:
    """Before anything is compiled; a folder that anybody may write to is well."""
    (tmp_path / "cache").mkdir(mode=0o755)
    image = make_builder(_INSTALL, ccache="")
    told = replace(chosen, builder_image=image, ccache_dir=tmp_path / "cache")
    with pytest.raises(CacheUnwritable, match=f"it is not for {_OWNER}:{_OWNER} to write to") as caught:
        builder.compile(source, told, engine)
    assert caught.value.hint.startswith("CCACHE_DIR=FOLDER invoke compile, or ")
    assert not (source.folder / "build").exists()
    (tmp_path / "cache").chmod(0o777)
    assert builder.compile(source, told, engine).tree.exists()


def test_a_launcher_that_the_image_lacks_is_told(
    engine: Engine, chosen: Settings, make_builder: MakeBuilder
) -> None:
    """Before a clone; and one that is there need not be wanted."""
    told = replace(chosen, builder_image=make_builder(_INSTALL, ccache=""), compiler_launcher="distcc")
    with pytest.raises(LauncherMissing, match="has no distcc, which COMPILER_LAUNCHER names"):
        builder.preflight(told, engine, [])
    assert builder.preflight(replace(told, compiler_launcher="none"), engine, []).launcher == "none"
    assert builder.preflight(replace(told, compiler_launcher="auto"), engine, []).launcher == "ccache"


@pytest.mark.parametrize(
    ("launcher", "own"),
    [("sccache", {"SCCACHE_DIR": "/ccache/sccache", "SCCACHE_CACHE_SIZE": "3072M"}), ("distcc", {})],
)
def test_other_launchers(
    engine: Engine,
    chosen: Settings,
    source: Source,
    make_builder: MakeBuilder,
    tmp_path: Path,
    launcher: str,
    own: Mapping[str, str],
) -> None:
    """CMake is told of them in the same way; only one that keeps objects gets the folder."""
    image = make_builder(f"{_INSTALL}ls / > build/install/root", **{launcher: ""})
    told = replace(chosen, builder_image=image, compiler_launcher=launcher, ccache_size=3 << 30)
    compiled = builder.compile(source, replace(told, ccache_dir=tmp_path / "cache"), engine)
    got = environment(compiled)
    assert got["CMAKE_CXX_COMPILER_LAUNCHER"] == launcher
    assert {name: value for name, value in got.items() if "CCACHE_" in name and "STATS" not in name} == own
    assert ("ccache" in (compiled.tree / "root").read_text().split()) == bool(own)


def test_a_remote_engine_has_a_cache_only_where_that_is_named(
    engine: Engine, chosen: Settings, make_builder: MakeBuilder, tmp_path: Path
) -> None:
    """The user's cache folder is here and not there; no socket of this machine leads to such an engine."""
    image = engine.require_image(make_builder(_INSTALL, ccache=""), "")
    remote = cast(Engine, SimpleNamespace(socket="", has_program=engine.has_program))
    assert launcher.choose(chosen, image, remote) == "none"
    assert launcher.choose(replace(chosen, ccache_dir=tmp_path / "cache"), image, remote) == "ccache"


@pytest.mark.parametrize(("owner", "capabilities"), [(_OWNER, 0), (0, 0xDB)])
def test_a_builder_has_no_privileges(
    engine: Engine, chosen: Settings, source: Source, make_builder: MakeBuilder, owner: int, capabilities: int
) -> None:
    """None for a user, and for root those of capabilities(7) that are about files and users; no new ones."""
    os.chown(source.folder, owner, owner)
    image = make_builder("mkdir -p build/install && cat /proc/self/status > build/install/status")
    compiled = builder.compile(source, replace(chosen, builder_image=image), engine)
    status = dict(line.split(":\t") for line in (compiled.tree / "status").read_text().splitlines())
    assert int(status["CapEff"], 16) == capabilities
    assert int(status["CapBnd"], 16) == capabilities
    assert status["NoNewPrivs"] == "1"


def test_a_builder_may_have_no_network(
    engine: Engine, chosen: Settings, source: Source, make_builder: MakeBuilder
) -> None:
    """With BUILD_NETWORK=none it has no interface but its own loopback."""
    image = make_builder("mkdir -p build/install && ls /sys/class/net > build/install/net")
    told = replace(chosen, builder_image=image)
    with_one = (builder.compile(source, told, engine).tree / "net").read_text().split()
    without = builder.compile(source, replace(told, build_network="none"), engine)
    assert "eth0" in with_one
    assert "eth0" not in (without.tree / "net").read_text().split()


def test_only_a_trusted_builder_gets_the_socket(
    source: Source, make_builder: MakeBuilder, tmp_path: Path
) -> None:
    """An old image that insists on it fails; with --trust-builder it works, and what that means is said."""
    group = Path("/var/run/docker.sock").stat().st_gid
    image = make_builder(f"[ -S /var/run/docker.sock ]\nid -G | busybox grep -qw {group}\n{_INSTALL}")
    terminal = Terminal(tmp_path)
    terminal.set(SOURCE_DIR=source.folder, STATE_DIR=tmp_path / "state", BUILDER_IMAGE=image, SHA1_OR_REF="")
    assert "error: build-cmake exited 1 " in terminal.invoke("compile").stderr
    trusted = terminal.invoke("compile --trust-builder")
    assert trusted.returncode == 0, trusted.stderr
    assert trusted.stderr.startswith(f"warning: {image} gets the Docker engine's socket: what runs in it can")


def test_the_last_logs_are_kept(
    engine: Engine, chosen: Settings, source: Source, make_builder: MakeBuilder
) -> None:
    """Twenty, the new one among them; other files stay."""
    logs = chosen.state_dir / "logs"
    logs.mkdir(parents=True)
    for number in range(30):
        (logs / f"compile-20200101T0000{number}Z-000000.log").touch()
    (logs / "notes").touch()
    compiled = builder.compile(source, replace(chosen, builder_image=make_builder(_INSTALL)), engine)
    left = sorted(path.name for path in logs.iterdir())
    assert len(left) == 21
    assert {compiled.log.name, "notes", "compile-20200101T000029Z-000000.log"} <= set(left)


def test_the_errors_are_repeated(
    engine: Engine,
    chosen: Settings,
    source: Source,
    make_builder: MakeBuilder,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """However much is said after them; a line that had no end yet counts too."""
    noise = "i=0; while [ $i -lt 999 ]; do i=$((i + 1)); echo line $i; done"
    image = make_builder(f"echo 'a.cc:1:1: error: one'; {noise}; printf 'b.cc:1:1: error: two'; exit 1")
    with pytest.raises(CompileFailed):
        builder.compile(source, replace(chosen, builder_image=image), engine)
    (log,) = (chosen.state_dir / "logs").iterdir()
    said = capfd.readouterr().err
    assert said.endswith(f"the first errors of {log}:\na.cc:1:1: error: one\nb.cc:1:1: error: two\n")


def test_build_files_that_changed_are_named(
    engine: Engine,
    chosen: Settings,
    source: Source,
    make_builder: MakeBuilder,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The build tool finds that out, and it is told why it configures again."""
    image = make_builder(f"echo '[0/1] Re-running CMake...'\n{_INSTALL}")
    builder.compile(source, replace(chosen, builder_image=image), engine)
    assert "configuring again, as build files changed\n" in capfd.readouterr().err


def read_until(terminal: int, text: bytes) -> bytes:
    """What a program writes to its terminal, up to a text."""
    said = b""
    while text not in said:
        said += os.read(terminal, 1)  # raises OSError where the program has ended
    return said


def test_a_terminal_has_one_line_for_all_steps(
    source: Source, make_builder: MakeBuilder, tmp_path: Path
) -> None:
    """Steps are told in one line that goes at the end; other lines go by above it; a pipe has them all."""
    script = "echo '[1/2] Building a'\necho a.cc:1:2: warning: odd\n"
    script += f"until [ -e go ]; do sleep 0.05; done\necho '[2/2] Linking b'\n{_INSTALL}"
    terminal = Terminal(tmp_path)
    image = make_builder(script)
    terminal.set(SOURCE_DIR=source.folder, STATE_DIR=tmp_path / "state", BUILDER_IMAGE=image, SHA1_OR_REF="")
    leader, follower = pty.openpty()
    with subprocess.Popen(
        terminal.command("compile"),
        cwd=terminal.folder,
        env=terminal.environment(TERM="xterm", COLUMNS="100"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=follower,
    ) as process:
        os.close(follower)
        said = read_until(leader, b"[1/2], 0:0")
        assert said.count(b"a.cc:1:2: warning: odd\r\n") == 1
        (source.folder / "go").touch()
        said += read_until(leader, b"compiled in ") + read_until(leader, b"\n")
    os.close(leader)
    assert process.returncode == 0
    assert b"[1/2] Building a" not in said
    assert b", 1 warning, installed in " in said
    piped = terminal.invoke("compile")
    assert "\n[1/2] Building a\na.cc:1:2: warning: odd\n[2/2] Linking b\n" in piped.stderr
