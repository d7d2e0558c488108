"""Builder, on a real engine, with images that have just a shell and the script that is run."""

import os
import shlex
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cephtasks import builder, settings
from cephtasks.builder.configured import Configuration, Decision, decide
from cephtasks.builder.contract import run_spec
from cephtasks.builder.failures import failure
from cephtasks.engine import LABEL, Engine, Mount, RunResult
from cephtasks.errors import (
    BuildArgumentInvalid,
    BuildFolderForeign,
    CompileFailed,
    ImageNotFound,
    InstallTreeEmpty,
    StateUnwritable,
)
from cephtasks.settings import Settings
from cephtasks.source import Source, describe
from lab.engines import node, tiny_image
from lab.processes import wait_until
from lab.terminal import Terminal

# The old contract: a script that reads its orders from the environment, and finds the source at /ceph.
_BUILD = """#!/bin/sh
set -e
cd /ceph
mkdir -p build/install/usr/bin
if [ "$RECONFIGURE" = true ]; then
    echo "configured with $CONFIGURE_FLAGS"
    echo "$CONFIGURE_FLAGS" > build/CMakeCache.txt
fi
[ ! -e broken ]
cat build/CMakeCache.txt source > build/install/usr/bin/rados
"""
_SHOW = "#!/bin/sh\nmkdir -p build/install && env > build/install/env\n"
_MORE = "id -u > build/install/user\n"
_OWNER = 4711

MakeBuilder = Callable[..., str]


@pytest.fixture
def source(tmp_path: Path) -> Source:
    """A source tree without git."""
    folder = tmp_path / "ceph"
    folder.mkdir()
    (folder / "source").write_text("source\n")
    return describe(folder)


@pytest.fixture
def chosen(tmp_path: Path, build_image: str) -> Settings:
    """Settings with a builder image that keeps the old contract, and two threads."""
    return changed(tmp_path, BUILDER_IMAGE=build_image, BUILD_THREADS="2")


@pytest.fixture(scope="module")
def build_image(engine: Engine) -> Iterator[str]:
    """A builder image that keeps the old contract."""
    name = f"cephtasks-test/builder-{os.getpid()}:contract"
    tiny_image(engine, name, "ENV PATH=/bin:/usr/bin", files={"usr/bin/build-cmake": _BUILD.encode()})
    yield name
    engine.untag(name)


@pytest.fixture
def make_builder(engine: Engine, image_name: str) -> MakeBuilder:
    """Make a builder image whose `build-cmake` is a script."""

    def make(
        script: str, *changes: str, folder: str = "usr/bin", private: tuple[str, ...] = (), more: str = ""
    ) -> str:
        name = f"{image_name}:builder"
        files = {f"{folder}/build-cmake": script.encode(), f"{folder}/build-more": more.encode()}
        tiny_image(engine, name, f"ENV PATH=/bin:/{folder}", *changes, files=files, private=private)
        return name

    return make


def changed(tmp_path: Path, **flags: str) -> Settings:
    """Settings of the test's own, other than the defaults only in these."""
    flags = {"STATE_DIR": str(tmp_path / "state"), "SOURCE_DIR": str(tmp_path / "ceph"), **flags}
    return settings.load(flags, environment={}, folder=tmp_path)


def environment(compiled: builder.Compiled) -> dict[str, str]:
    """The variables that the builder got."""
    lines = (compiled.tree / "env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines)


def given_away(source: Source) -> None:
    """Let the source tree belong to somebody who is not root."""
    for path in (source.folder, *source.folder.rglob("*")):
        os.chown(path, _OWNER, _OWNER)


def containers(image: str) -> list[str]:
    """The containers of a builder image that are there, running or not."""
    listing = ["docker", "ps", "--all", "--quiet", f"--filter=label={LABEL}=compile"]
    listing.append(f"--filter=ancestor={image}")
    return subprocess.run(listing, check=True, capture_output=True, text=True).stdout.split()


def test_the_builder_gets_the_environment_of_old(
    engine: Engine, source: Source, make_builder: MakeBuilder, tmp_path: Path
) -> None:
    """All variables of the old contract are there; what would throw work away is defused."""
    told = changed(
        tmp_path,
        BUILDER_IMAGE=make_builder(_SHOW, "ENV SHA1_OR_REF=remotes/origin/kraken CLEAN=true"),
        GIT_URL="https://user:secret@example.com/ceph.git",
        SHA1_OR_REF="remotes/origin/wip",
        CONFIGURE_FLAGS="-DWITH_TESTS=OFF '-DNAME=two words'",
        BUILD_THREADS="3",
        CLEAN="true",
        INSTALL_HEADERS="true",
    )
    got = environment(builder.compile(source, told, engine))
    ours = {
        "GIT_URL": "https://example.com/ceph.git",
        "SHA1_OR_REF": "",
        "RECONFIGURE": "true",
        "CLEAN": "false",
        "CONFIGURE_FLAGS": "-DWITH_TESTS=OFF '-DNAME=two words'",
        "BUILD_THREADS": "3",
        "INSTALL_HEADERS": "true",
        "IMAGE_NAME": "ceph-heads/remotes/origin/wip",
        "GENERATE_DOCKER_IMAGE": "false",
        "HOME": "/tmp",
        "PWD": "/ceph",
    }
    assert {name: got.get(name) for name in ours} == ours


def test_more_variables_reach_the_builder(
    engine: Engine, source: Source, make_builder: MakeBuilder, tmp_path: Path
) -> None:
    """`--env` adds and changes variables, the last one of a name counting; a value may hold anything."""
    told = changed(tmp_path, BUILDER_IMAGE=make_builder(_SHOW))
    given = ["A=one", "A=two = 2", "EMPTY=", "QUOTED='$HOME'", "BUILD_THREADS=1"]
    got = environment(builder.compile(source, told, engine, given))
    expected = {"A": "two = 2", "EMPTY": "", "QUOTED": "'$HOME'", "BUILD_THREADS": "1"}
    assert {name: got.get(name) for name in expected} == expected


@pytest.mark.parametrize(
    "given", ["NAME", "=value", "2=two", "A B=c", "", "SHA1_OR_REF=v10.0.0", "CLEAN=true"]
)
def test_a_variable_that_is_ill_or_harmful_is_refused(engine: Engine, chosen: Settings, given: str) -> None:
    """What is no KEY=VALUE, or makes old builders throw work away, is refused before anything starts."""
    with pytest.raises(BuildArgumentInvalid) as caught:
        builder.preflight(chosen, engine, ["GOOD=1", given])
    assert caught.value.exit_code == 2
    assert caught.value.hint


@pytest.mark.parametrize("command", ["sh -c 'unclosed", "''"])
def test_a_command_that_is_none_is_refused(engine: Engine, chosen: Settings, command: str) -> None:
    """BUILD_COMMAND is read as a shell reads words."""
    with pytest.raises(BuildArgumentInvalid):
        builder.preflight(replace(chosen, build_command=command), engine, [])


def test_a_command_may_have_words(engine: Engine, chosen: Settings, source: Source) -> None:
    """BUILD_COMMAND may be more than a name."""
    command = """sh -c 'build-cmake && echo "$1" > build/install/more' sh 'two words'"""
    compiled = builder.compile(source, replace(chosen, build_command=command), engine)
    assert (compiled.tree / "more").read_text() == "two words\n"


def test_only_the_source_is_mounted(engine: Engine, chosen: Settings, source: Source) -> None:
    """The builder sees the source at /ceph and nothing else of the host, not Docker's socket for one."""
    spec = run_spec(source, chosen, builder.preflight(chosen, engine, []), configure=True)
    assert spec.mounts == (Mount(source.folder.resolve(), "/ceph"),)
    command = "sh -c '! [ -e /var/run/docker.sock ] && build-cmake'"
    builder.compile(source, replace(chosen, build_command=command), engine)


@pytest.mark.parametrize("name", ["two words", "a:b", "a,b", "größe"])
def test_the_source_may_lie_anywhere(engine: Engine, chosen: Settings, tmp_path: Path, name: str) -> None:
    """A path with what Docker's volume syntax cannot hold is a path like any other."""
    folder = tmp_path / name
    folder.mkdir()
    (folder / "source").write_text("source\n")
    assert (builder.compile(describe(folder), chosen, engine).tree / "usr/bin/rados").exists()


def test_the_source_may_be_a_symlink(
    engine: Engine, chosen: Settings, source: Source, tmp_path: Path
) -> None:
    """SOURCE_DIR may point to where the source really is."""
    (tmp_path / "link").symlink_to(source.folder)
    compiled = builder.compile(describe(tmp_path / "link"), chosen, engine)
    assert (source.folder / "build/install/usr/bin/rados").exists()
    assert compiled.tree == tmp_path / "link/build/install"


def test_files_belong_to_the_folders_owner(engine: Engine, chosen: Settings, source: Source) -> None:
    """Root compiles as the folder's owner, so nothing in the tree is root's; others compile as themselves."""
    given_away(source)
    compiled = builder.compile(source, chosen, engine)
    assert (compiled.tree / "usr/bin/rados").exists()
    assert {path.stat().st_uid for path in (source.folder, *source.folder.rglob("*"))} == {_OWNER}


def test_an_old_image_runs_as_anybody(
    engine: Engine, chosen: Settings, source: Source, make_builder: MakeBuilder
) -> None:
    """Old images keep their commands in /root/bin, where only root may go; the owner gets there too."""
    old = make_builder(f"{_BUILD}. build-more\n", folder="root/bin", private=("root",), more=_MORE)
    given_away(source)
    compiled = builder.compile(source, replace(chosen, builder_image=old), engine)
    assert (compiled.tree / "user").read_text() == f"{_OWNER}\n"


def test_a_build_folder_that_root_left_is_told(engine: Engine, chosen: Settings, source: Source) -> None:
    """A build in the old way left a folder of root's: the line that gives it back is named."""
    given_away(source)
    (source.folder / "build").mkdir()
    with pytest.raises(BuildFolderForeign) as caught:
        builder.compile(source, chosen, engine)
    assert caught.value.hint == f"sudo chown -R {_OWNER}:{_OWNER} {source.folder}/build"


_CONFIGURED = Configuration("-DA=1", "sha256:1", "ccache", 1, {"CXX": "g++"})


@pytest.mark.parametrize(
    ("reconfigure", "last", "configures", "why"),
    [
        ("auto", None, True, "as it is not known how it was"),
        ("auto", _CONFIGURED, False, "as nothing of it changed"),
        ("auto", replace(_CONFIGURED, flags="-DA=2"), True, "as CONFIGURE_FLAGS changed"),
        ("auto", replace(_CONFIGURED, image="sha256:2"), True, "as the builder image changed"),
        ("auto", replace(_CONFIGURED, launcher="none"), True, "as the compiler launcher changed"),
        ("auto", replace(_CONFIGURED, link_jobs=2), True, "as the number of link jobs changed"),
        ("auto", replace(_CONFIGURED, variables={}), True, "as a variable of the compilers changed"),
        ("true", _CONFIGURED, True, "as RECONFIGURE asks"),
        ("false", replace(_CONFIGURED, flags="-DA=2"), False, "as RECONFIGURE asks"),
        ("false", None, False, "as RECONFIGURE asks"),
    ],
)
def test_when_to_configure(reconfigure: str, last: Configuration | None, configures: bool, why: str) -> None:
    """By itself where anything that it depends on changed, and that is named; else as RECONFIGURE says."""
    assert decide(reconfigure, _CONFIGURED, last, configured=True) == Decision(configures, why)


def test_what_was_never_configured_is() -> None:
    """Whatever is remembered of a build folder that is gone."""
    assert decide("auto", _CONFIGURED, _CONFIGURED, configured=False).configure


def configured(source: Source) -> str:
    """The flags that the builder configured with last."""
    return (source.folder / "build/CMakeCache.txt").read_text().strip()


def test_configuring_follows_the_flags(
    engine: Engine, chosen: Settings, source: Source, capfd: pytest.CaptureFixture[str]
) -> None:
    """The first build configures, the next does not, and one with other flags does again."""
    told = []
    for flags in ("-DA=1", "-DA=1", "-DA=2"):
        builder.compile(source, replace(chosen, configure_flags=flags), engine)
        assert configured(source) == flags
        told.append("configured with" in capfd.readouterr().err)
    assert told == [True, False, True]


def test_flags_of_a_build_that_failed_are_not_trusted(
    engine: Engine, chosen: Settings, source: Source
) -> None:
    """Going back to the flags from before a failed build configures with them again."""
    builder.compile(source, replace(chosen, configure_flags="-DA=1"), engine)
    (source.folder / "broken").touch()
    with pytest.raises(CompileFailed):
        builder.compile(source, replace(chosen, configure_flags="-DA=2"), engine)
    (source.folder / "broken").unlink()
    builder.compile(source, replace(chosen, configure_flags="-DA=1"), engine)
    assert configured(source) == "-DA=1"


def test_flags_given_as_a_variable_count_as_flags(engine: Engine, chosen: Settings, source: Source) -> None:
    """`--env` of the old habit, `-e CONFIGURE_FLAGS=… -e RECONFIGURE=true`, does what it says."""
    builder.compile(source, chosen, engine, ["CONFIGURE_FLAGS=-DA=3"])
    assert configured(source) == "-DA=3"
    (source.folder / "build/CMakeCache.txt").write_text("by hand")
    builder.compile(source, chosen, engine, ["CONFIGURE_FLAGS=-DA=3", "RECONFIGURE=true"])
    assert configured(source) == "-DA=3"


def test_a_damaged_record_configures_again(engine: Engine, chosen: Settings, source: Source) -> None:
    """What is not known for sure is done again."""
    builder.compile(source, chosen, engine)
    (record,) = (chosen.state_dir / "configured").glob("*.json")
    record.write_text("{")
    (source.folder / "build/CMakeCache.txt").write_text("by hand")
    builder.compile(source, chosen, engine)
    assert configured(source) == chosen.configure_flags


def test_clean_removes_what_builds_made(engine: Engine, chosen: Settings, source: Source) -> None:
    """CLEAN builds from nothing, and leaves the rest of the tree alone."""
    builder.compile(source, chosen, engine)
    (source.folder / "build/object.o").touch()
    (source.folder / "edited").touch()
    builder.compile(source, replace(chosen, clean=True), engine)
    assert not (source.folder / "build/object.o").exists()
    assert (source.folder / "edited").exists()
    assert configured(source) == chosen.configure_flags


def test_clean_keeps_a_build_folder_of_the_projects_own(
    engine: Engine, chosen: Settings, source: Source
) -> None:
    """A folder that cmake never used is not cmake's to remove; only the install tree in it goes."""
    (source.folder / "build/install").mkdir(parents=True)
    (source.folder / "build/install/old").touch()
    (source.folder / "build/rules.mk").touch()
    builder.compile(source, replace(chosen, clean=True), engine)
    assert (source.folder / "build/rules.mk").exists()
    assert not (source.folder / "build/install/old").exists()


def test_output_is_live_and_kept(tmp_path: Path, make_builder: MakeBuilder, source: Source) -> None:
    """What the builder says on both its streams is on stderr while it runs, and afterwards in the log."""
    script = f"{_BUILD}\necho waiting >&2\nuntil [ -e go ]; do sleep 0.05; done\necho gone on\n"
    terminal = Terminal(tmp_path)
    image = make_builder(script)
    terminal.set(SOURCE_DIR=source.folder, STATE_DIR=tmp_path / "state", BUILDER_IMAGE=image, SHA1_OR_REF="")
    with typed(terminal) as process:
        assert process.stderr is not None
        said = read_until(process, b"waiting\n")
        (source.folder / "go").touch()
        said += process.stderr.read()
    assert process.returncode == 0
    (log,) = (tmp_path / "state/logs").iterdir()
    kept = log.read_bytes()
    assert sorted(kept.splitlines()) == [b"configured with -DWITH_TESTS=OFF", b"gone on", b"waiting"]
    assert kept in said


def test_two_compiles_of_one_tree_take_turns(
    tmp_path: Path, make_builder: MakeBuilder, source: Source
) -> None:
    """The second says what it waits for, begins when the first ended, and both end well."""
    script = f"{_BUILD}\necho up >&2\nuntil [ -e go ]; do sleep 0.05; done\necho done >&2\n"
    terminal = Terminal(tmp_path)
    image = make_builder(script)
    terminal.set(SOURCE_DIR=source.folder, STATE_DIR=tmp_path / "state", BUILDER_IMAGE=image, SHA1_OR_REF="")
    with typed(terminal) as first:
        read_until(first, b"up\n")
        with typed(terminal) as second:
            said = read_until(
                second, f"waiting for another cephtasks that compiles {source.folder}\n".encode()
            )
            assert b"up\n" not in said
            (source.folder / "go").touch()
            assert first.communicate()[1].splitlines()[-1].startswith(b"compiled in ")
            assert b"done\n" in second.communicate()[1]
    assert (first.returncode, second.returncode) == (0, 0)


def typed(terminal: Terminal) -> "subprocess.Popen[bytes]":
    """Type `invoke compile`, without waiting for its end."""
    return subprocess.Popen(
        terminal.command("compile"),
        cwd=terminal.folder,
        env=terminal.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def read_until(process: "subprocess.Popen[bytes]", line: bytes) -> bytes:
    """What a process says on stderr, up to a line."""
    assert process.stderr is not None
    said = b""
    while not said.endswith(line):
        more = process.stderr.readline()
        assert more, said
        said += more
    return said


def test_ctrl_c_is_one_line_and_the_same_works_next(
    tmp_path: Path, make_builder: MakeBuilder, source: Source
) -> None:
    """Ctrl-C takes the container away at once; the same command continues afterwards."""
    script = f"{_BUILD}\ntrap '' INT TERM\necho up\nuntil [ -e go ]; do sleep 0.05; done\n"
    terminal = Terminal(tmp_path)
    image = make_builder(script)
    terminal.set(SOURCE_DIR=source.folder, STATE_DIR=tmp_path / "state", BUILDER_IMAGE=image, SHA1_OR_REF="")
    with typed(terminal) as process:
        read_until(process, b"up\n")
        (mine,) = containers(image)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
    assert process.returncode == 130
    fact, hint = said.decode().splitlines()[-2:]
    assert fact.startswith("error: build-cmake was stopped after ")
    assert hint == "hint: type the same again, it continues"
    assert mine not in containers(image)
    (source.folder / "go").touch()
    again = terminal.invoke("compile")
    assert again.returncode == 0, again.stderr


def test_a_command_that_fails(
    engine: Engine,
    chosen: Settings,
    source: Source,
    make_builder: MakeBuilder,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The builder's failure is ours: its last lines once more, its log's name, exit code 1."""
    script = "#!/bin/sh\ni=0\nwhile [ $i -lt 100 ]; do i=$((i + 1)); echo line $i; done\nexit 3\n"
    with pytest.raises(CompileFailed) as caught:
        builder.compile(source, replace(chosen, builder_image=make_builder(script)), engine)
    (log,) = (chosen.state_dir / "logs").iterdir()
    said = capfd.readouterr().err
    assert said.endswith(f"the last lines of {log}:\n" + "".join(f"line {i}\n" for i in range(81, 101)))
    assert caught.value.exit_code == 1
    assert caught.value.fact.startswith("build-cmake exited 3 after ")
    assert caught.value.hint == f"less {log}"


def test_a_command_that_the_image_lacks(engine: Engine, chosen: Settings, source: Source) -> None:
    """A BUILD_COMMAND that is not in the image is named, with the image."""
    with pytest.raises(CompileFailed) as caught:
        builder.compile(source, replace(chosen, build_command="build-make all"), engine)
    assert caught.value.fact == f"{chosen.builder_image} has no command build-make that can be executed"
    assert "BUILD_COMMAND" in caught.value.hint


def test_a_command_within_the_command_that_is_missing(
    engine: Engine, chosen: Settings, source: Source, make_builder: MakeBuilder
) -> None:
    """A script that calls what the image lacks ends with 127, and that is told."""
    image = make_builder("#!/bin/sh\ncmake ..\n")
    with pytest.raises(CompileFailed, match=r"exited 127 .*: it did not find a command in "):
        builder.compile(source, replace(chosen, builder_image=image), engine)


def test_a_lack_of_memory_is_told(
    engine: Engine, chosen: Settings, source: Source, make_builder: MakeBuilder
) -> None:
    """Where the kernel kills the compiler, fewer threads are the hint."""
    image = make_builder(
        "#!/bin/sh\necho up\nsleep 2\nbusybox awk 'BEGIN { s = \"x\"; while (1) s = s s }'\n"
    )

    def limit() -> None:
        wait_until(lambda: bool(containers(image)), "the container")
        (mine,) = containers(image)
        wait_until(lambda: updated(mine), "limiting the container")

    limiting = threading.Thread(target=limit)
    limiting.start()
    with pytest.raises(CompileFailed) as caught:
        builder.compile(source, replace(chosen, builder_image=image, build_threads=8), engine)
    limiting.join()
    assert caught.value.fact.startswith("build-cmake ran out of memory after ")
    assert caught.value.hint.startswith("BUILD_THREADS=4 invoke compile, or less ")


def updated(container: str) -> bool:
    """Give a running container very little memory."""
    command = ["docker", "update", "--memory=32m", "--memory-swap=32m", container]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


@pytest.mark.parametrize(
    "line",
    [
        b"g++: fatal error: Killed signal terminated program cc1plus",
        b"g++-5: internal compiler error: Killed (program cc1plus)",
        b"clang: error: unable to execute command: Killed",
    ],
)
def test_a_compiler_that_was_killed_is_recognized(chosen: Settings, line: bytes) -> None:
    """The kernel may kill one compiler of many, and the build ends with an everyday exit code."""
    lines = [line, b"ninja: build stopped: subcommand failed."]
    error = failure(RunResult(1), chosen, 2, "3.0 s", Path("log"), lines)
    assert "most likely for want of memory" in error.fact
    assert error.hint == "BUILD_THREADS=1 invoke compile, or less log"
    assert "memory" not in failure(RunResult(1), chosen, 2, "3.0 s", Path("log"), [b"error: no"]).fact


def test_a_build_that_installs_nothing(
    engine: Engine, chosen: Settings, source: Source, make_builder: MakeBuilder
) -> None:
    """A build that ends well without a file in the install tree is none; folders do not count."""
    image = make_builder("#!/bin/sh\nmkdir -p build/install/usr/bin\n")
    with pytest.raises(InstallTreeEmpty) as caught:
        builder.compile(source, replace(chosen, builder_image=image), engine)
    assert str(source.folder / "build/install") in caught.value.fact


def test_a_state_folder_that_cannot_be_written(
    engine: Engine, chosen: Settings, source: Source, tmp_path: Path
) -> None:
    """Without a log nothing is compiled."""
    (tmp_path / "file").touch()
    with pytest.raises(StateUnwritable) as caught:
        builder.compile(source, replace(chosen, state_dir=tmp_path / "file/state"), engine)
    assert caught.value.hint == "STATE_DIR=FOLDER invoke compile"
    assert not (source.folder / "build").exists()


def test_a_disk_that_fills_up_under_the_log(
    engine: Engine, chosen: Settings, source: Source, make_builder: MakeBuilder, tmp_path: Path
) -> None:
    """A log that cannot be written to its end stops the build, and its container goes."""
    image = make_builder("#!/bin/sh\nwhile :; do echo many words; done\n")
    (tmp_path / "small").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", tmp_path / "small"], check=True)
    try:
        with pytest.raises(StateUnwritable, match="No space left on device"):
            builder.compile(
                source, replace(chosen, builder_image=image, state_dir=tmp_path / "small/state"), engine
            )
    finally:
        subprocess.run(["umount", tmp_path / "small"], check=True)
    assert not containers(image)


def test_a_builder_image_that_is_missing_is_found_before_a_clone(tmp_path: Path) -> None:
    """Nothing slow is started for a builder that is not there."""
    (tmp_path / "upstream").mkdir()
    terminal = Terminal(tmp_path)
    terminal.set(
        GIT_URL=tmp_path / "upstream",
        SOURCE_DIR=tmp_path / "ceph",
        BUILDER_IMAGE="cephtasks-test/none:latest",
    )
    done = terminal.invoke("compile")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "error: the engine has no image cephtasks-test/none:latest",
        "hint: docker pull cephtasks-test/none:latest",
    ]
    assert not (tmp_path / "ceph").exists()


def test_our_own_builder_is_made_where_it_is_missing(chosen: Settings, tmp_path: Path) -> None:
    """The builder that has a task to make it is hinted at with that task."""
    with node(tmp_path / "node") as made:
        empty = Engine.connect(host=f"unix://{made.socket}")
        with pytest.raises(ImageNotFound) as caught:
            builder.preflight(replace(chosen, builder_image=builder.OUR_BUILDER), empty, [])
        empty.close()
    assert caught.value.hint == "invoke builder.image"


def test_a_dry_run_only_shows_the_line(
    chosen: Settings, source: Source, capfd: pytest.CaptureFixture[str]
) -> None:
    """With --dry the docker line is shown, and neither the tree nor STATE_DIR is touched."""
    (source.folder / "build").mkdir()
    (source.folder / "build/CMakeCache.txt").touch()
    engine = Engine.connect(dry=True)
    compiled = builder.compile(source, replace(chosen, clean=True), engine)
    engine.close()
    words = shlex.split(capfd.readouterr().err.splitlines()[-1])
    assert words[:2] == ["docker", "run"]
    assert f"--mount=type=bind,source={source.folder},target=/ceph" in words
    assert compiled.tree == source.folder / "build/install"
    assert (source.folder / "build/CMakeCache.txt").exists()
    assert not chosen.state_dir.exists()


def test_a_dry_run_of_a_source_that_is_not_there_yet(
    chosen: Settings, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """With --dry nothing was cloned; the line is that of the builder after the clone."""
    os.chown(tmp_path, _OWNER, _OWNER)
    engine = Engine.connect(dry=True)
    builder.compile(Source(tmp_path / "none", None, False, "", None), chosen, engine)
    engine.close()
    assert f"--user={_OWNER}:{_OWNER}" in shlex.split(capfd.readouterr().err.splitlines()[-1])
