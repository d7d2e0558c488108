"""Checks, on real images whose tools are broken in every way that an image's tools are."""

import struct
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from cephtasks import tools
from cephtasks.engine import Engine
from cephtasks.errors import ImageNotFound, ToolInvalid, ToolsMissing
from cephtasks.findings import Problem
from lab.programs import BUSYBOX, compiled, image_of, library, runtime

SCRIPTS = {
    "hangs": "#!/bin/sh\necho connecting\nsleep 1000\n",
    "stubborn": "#!/bin/sh\ntrap '' TERM\nwhile :; do sleep 1; done\n",
    "endless": "#!/bin/sh\nwhile :; do echo more; done\n",
    "floods": "#!/bin/sh\nhead -c 30000000 /dev/zero\necho\necho the end\n",
    "binary": "#!/bin/sh\nhead -c 3000 /dev/urandom\necho\necho the end\n",
    "fine": '#!/bin/sh\necho "fine $*"\n',
    "fails": "#!/bin/sh\necho no monitors >&2\nexit 3\n",
    "silent": "#!/bin/sh\nexit 3\n",
    "asks": "#!/bin/sh\nread -r answer || echo nobody answers\n",
    "shows": '#!/bin/sh\necho "LD_BIND_NOW=$LD_BIND_NOW"\n',
    "wraps": "#!/bin/sh\nreal-wraps\n",
    "uninterpreted": "#!/usr/bin/python9\n",
    "unstarted": "no first line names an interpreter\n",
    "plain": "#!/bin/sh\n",
}
LOADER = "error while loading shared libraries"


@dataclass(frozen=True)
class Expected:
    """What is to be found of a tool; an exit code of None is any but 0."""

    problem: Problem | None
    detail: str
    exit_code: int | None = None


EXPECTED = {
    "hangs": Expected(Problem.TIMED_OUT, "it did not end in time, and last said: connecting", 124),
    "stubborn": Expected(Problem.TIMED_OUT, "it did not end in time", 124),
    "endless": Expected(Problem.TIMED_OUT, "it did not end in time, and last said: more", 124),
    "floods": Expected(None, "the end", 0),
    "binary": Expected(None, "the end", 0),
    "fine": Expected(None, "fine --version", 0),
    "fails": Expected(Problem.FAILED, "no monitors", 3),
    "silent": Expected(Problem.FAILED, "it exited 3 without a word", 3),
    "asks": Expected(None, "nobody answers", 0),
    "shows": Expected(None, "LD_BIND_NOW=1", 0),
    "wraps": Expected(Problem.NOT_FOUND, "not found", 127),
    "uninterpreted": Expected(
        Problem.NOT_FOUND, "/opt/bin/uninterpreted needs /usr/bin/python9, which is not there", 127
    ),
    "unstarted": Expected(
        Problem.FAILED, "/opt/bin/unstarted is neither a program nor a script that names its interpreter", 126
    ),
    "plain": Expected(Problem.FAILED, "/opt/bin/plain is not executable", 126),
    "dangling": Expected(Problem.NOT_FOUND, "/opt/bin/dangling is a link that leads nowhere", 127),
    "rados": Expected(
        Problem.UNDEFINED_SYMBOL,
        "/opt/bin/rados: symbol lookup error: /opt/bin/rados: undefined symbol: striper_write",
        127,
    ),
    "rbd": Expected(
        Problem.MISSING_LIBRARY,
        f"/opt/bin/rbd: {LOADER}: librbd.so.1: cannot open shared object file: No such file or directory",
        127,
    ),
    "small": Expected(
        Problem.WRONG_ARCHITECTURE,
        f"/opt/bin/small: {LOADER}: libsmall.so.1: wrong ELF class: ELFCLASS32",
        127,
    ),
    "foreign": Expected(Problem.WRONG_ARCHITECTURE, "exec /opt/bin/foreign: exec format error"),
    "unloaded": Expected(Problem.NOT_FOUND, "exec /opt/bin/unloaded: no such file or directory"),
    "crashes": Expected(Problem.CRASHED, "killed by SIGSEGV; it last said: starting", 139),
    "aborts": Expected(Problem.CRASHED, "killed by SIGABRT", 134),
}


@pytest.fixture(scope="module")
def tool_files(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, bytes | str | Path]:
    """The files of an image with all those tools in /opt/bin, and what they need to fail as they do."""
    folder = tmp_path_factory.mktemp("tools")
    old = library(folder / "old/libstriper.so.1", "libstriper.so.1", "int striper_read(void) {return 1;}")
    new = library(folder / "new/libstriper.so.1", "libstriper.so.1", "int striper_write(void) {return 1;}")
    rbd = library(folder / "librbd.so.1", "librbd.so.1", "int rbd_open(void) {return 1;}")
    small = library(folder / "libsmall.so.1", "libsmall.so.1", "int small(void) {return 1;}")
    small_32 = library(
        folder / "32/libsmall.so.1", "libsmall.so.1", "int small(void) {return 1;}", "-m32", "-nostdlib"
    )
    # Lazy binding, as many distributions link: without LD_BIND_NOW this would print its version.
    rados = compiled(
        folder / "rados",
        "#include <stdio.h>\nint striper_write(void);"
        "int main(int count, char **words) {puts(*words); return count > 9 ? striper_write() : 0;}",
        *(new, "-Wl,-z,lazy"),
    )
    foreign = bytearray(rados.read_bytes())
    struct.pack_into("<H", foreign, 18, 183)  # e_machine: arm64
    starting = '#include <stdio.h>\n#include <stdlib.h>\nint main(void) {fprintf(stderr, "starting\\n"); '
    programs: dict[str, bytes | str | Path] = {
        "rados": rados,
        "rbd": compiled(folder / "rbd", "int rbd_open(void); int main(void) {return rbd_open();}", rbd),
        "small": compiled(folder / "small", "int small(void); int main(void) {return small();}", small),
        "foreign": bytes(foreign),
        "unloaded": compiled(
            folder / "unloaded", "int main(void) {return 0;}", "-Wl,--dynamic-linker=/opt/ld.so"
        ),
        "crashes": compiled(folder / "crashes", starting + "return *(volatile int *)0;}"),
        "aborts": compiled(folder / "aborts", "#include <stdlib.h>\nint main(void) {abort();}"),
    }
    home = next(path for path in runtime(rados) if path.endswith("libc.so.6")).rpartition("/")[0]
    return {
        **{f"opt/bin/{name}": data for name, data in {**SCRIPTS, **programs}.items()},
        f"{home}/libstriper.so.1": old,
        f"{home}/libsmall.so.1": small_32,
        **runtime(rados, Path("/bin/bash"), Path("/bin/dash")),
        "bin/busybox": Path("/bin/busybox"),
    }


@pytest.fixture(scope="module", params=["busybox", "dash", "bash"])
def image(
    request: pytest.FixtureRequest, engine: Engine, tool_files: Mapping[str, bytes | str | Path]
) -> Iterator[str]:
    """That image with one of the shells that images have; it has no /tmp, and its user is not root."""
    name = f"cephtasks-test/checks-{uuid.uuid4().hex[:12]}:latest"
    files, links = dict(tool_files), {**BUSYBOX, "opt/bin/dangling": "gone"}
    if request.param != "busybox":
        del links["bin/sh"]
        files["bin/sh"] = Path(f"/bin/{request.param}")
    image_of(engine, name, files, links, ("ENV PATH=/opt/bin:/bin", "USER 1000"), plain=["opt/bin/plain"])
    yield name
    engine.untag(name)


def test_every_way_to_fail_is_told(engine: Engine, image: str) -> None:
    """All tools start at once in one container; hung ones are ended, and none spoils another."""
    found = {finding.tool: finding for finding in tools.start(image, list(EXPECTED), engine, limit=3)}
    for tool, expected in EXPECTED.items():
        finding = found[tool]
        assert (tool, finding.problem) == (tool, expected.problem)
        assert finding.detail.endswith(expected.detail)
        assert finding.ok is (expected.problem is None) is (finding.exit_code == 0)
        assert expected.exit_code in {None, finding.exit_code}
    assert list(found) == list(EXPECTED)


@pytest.fixture(scope="module")
def shell_less(engine: Engine, tool_files: Mapping[str, bytes | str | Path]) -> Iterator[str]:
    """That image with its shell where no entrypoint is looked for."""
    name = f"cephtasks-test/checks-{uuid.uuid4().hex[:12]}:latest"
    image_of(
        engine,
        name,
        tool_files,
        {**BUSYBOX, "opt/bin/dangling": "gone"},
        ["ENV PATH=/opt/bin"],
        ["opt/bin/plain"],
    )
    yield name
    engine.untag(name)


def test_without_a_shell_tools_are_started_apart(engine: Engine, shell_less: str) -> None:
    """Each as the entrypoint of a container of its own, and much the same is told of it."""
    names = [
        "fine",
        "rados",
        "rbd",
        "small",
        "foreign",
        "unloaded",
        "crashes",
        "hangs",
        "floods",
        "uninterpreted",
    ]
    found = tools.start(shell_less, names, engine, limit=2)
    assert [(finding.tool, finding.problem) for finding in found] == [
        ("fine", None),
        ("rados", Problem.UNDEFINED_SYMBOL),
        ("rbd", Problem.MISSING_LIBRARY),
        ("small", Problem.WRONG_ARCHITECTURE),
        ("foreign", Problem.WRONG_ARCHITECTURE),
        ("unloaded", Problem.NOT_FOUND),
        ("crashes", Problem.CRASHED),
        ("hangs", Problem.TIMED_OUT),
        ("floods", None),
        ("uninterpreted", Problem.NOT_FOUND),
    ]
    details = {finding.tool: finding.detail for finding in found}
    assert details["rados"] == "rados: symbol lookup error: rados: undefined symbol: striper_write"
    assert details["crashes"] == "killed by SIGSEGV; it last said: starting"
    assert details["floods"] == "the end"


def test_no_container_is_left(engine: Engine, shell_less: str) -> None:
    """Neither of those that end, nor of those that are ended."""
    tools.start(shell_less, ["fine", "hangs"], engine, limit=1)
    command = ["docker", "ps", "--all", "--quiet", f"--filter=ancestor={shell_less}"]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == ""


@pytest.mark.parametrize("image_with", ["a shell", "no shell"])
def test_tools_that_an_image_lacks(engine: Engine, sandbox: str, shell_less: str, image_with: str) -> None:
    """Of CHECK_TOOLS they are passed over; of those that were asked for they are findings."""
    image = sandbox if image_with == "a shell" else shell_less
    assert [finding.tool for finding in tools.start(image, ["absent", "fine"], engine)] == ["fine"]
    found = tools.start(image, ["absent", "/opt/bin/absent", "fine"], engine, required=True)
    assert [(finding.tool, finding.ok, finding.exit_code, finding.problem) for finding in found] == [
        ("absent", False, 127, Problem.NOT_FOUND),
        ("/opt/bin/absent", False, 127, Problem.NOT_FOUND),
        ("fine", True, 0, None),
    ]
    with pytest.raises(ToolsMissing, match=f"{image} has none of the tools absent, gone"):
        tools.start(image, ["absent", "gone"], engine)


@pytest.fixture(scope="module")
def sandbox(engine: Engine) -> Iterator[str]:
    """A small image with a shell, some tools that are scripts, and an entrypoint of its own."""
    name = f"cephtasks-test/checks-{uuid.uuid4().hex[:12]}:latest"
    scripts = {
        **SCRIPTS,
        "murders": "#!/bin/sh\nkill -KILL -1\nsleep 2\n",
        "spreads": "#!/bin/sh\nprintf '[%s]' \"$@\"\n",
        "sees": '#!/bin/sh\nwhile read -r line; do echo "$line"; done </proc/net/dev\n',
        "slow": "#!/bin/sh\nsleep 1\necho done\n",
        **{f"slow{number}": "#!/bin/sh\nsleep 1\necho done\n" for number in range(10)},
    }
    files: dict[str, bytes | str | Path] = {f"opt/bin/{tool}": text for tool, text in scripts.items()}
    files["bin/busybox"] = Path("/bin/busybox")
    image_of(engine, name, files, BUSYBOX, ["ENV PATH=/opt/bin:/bin", 'ENTRYPOINT ["/opt/bin/hangs"]'])
    yield name
    engine.untag(name)


def test_a_tool_may_be_given_arguments(engine: Engine, sandbox: str) -> None:
    """In place of --version, as a shell would split them; nothing expands them in the image."""
    line = "spreads dump 'a  b' '$HOME' '*' '; exit'"
    (finding,) = tools.start(sandbox, [line], engine)
    assert (finding.tool, finding.detail) == (line, "[dump][a b][$HOME][*][; exit]")


def test_tools_run_at_the_same_time(engine: Engine, sandbox: str) -> None:
    """Ten tools that wait a second each take little longer than one."""
    started = time.monotonic()
    found = tools.start(sandbox, [f"slow{number}" for number in range(10)], engine)
    assert time.monotonic() - started < 5
    assert [finding.detail for finding in found] == ["done"] * 10


def test_a_tool_that_kills_the_others_does_not_blame_them(engine: Engine, sandbox: str) -> None:
    """They are started again, each in a container of its own."""
    found = tools.start(sandbox, ["slow", "murders", "fine"], engine, limit=5)
    assert [finding.ok for finding in found if finding.tool != "murders"] == [True, True]


def test_tools_have_no_network(engine: Engine, sandbox: str) -> None:
    """A check reaches nobody: the loopback is the last of the interfaces."""
    (finding,) = tools.start(sandbox, ["sees"], engine)
    assert finding.detail.startswith("lo:")


def test_a_dry_run_checks(engine: Engine, sandbox: str) -> None:
    """A check changes nothing that lasts, and without its findings there is nothing to plan."""
    dry = Engine.connect(dry=True)
    try:
        assert [finding.ok for finding in tools.start(sandbox, ["fine", "fails"], dry)] == [True, False]
    finally:
        dry.close()


def test_a_tool_is_checked_once(engine: Engine, sandbox: str) -> None:
    """However often it is named."""
    assert len(tools.start(sandbox, ["fine", "fails", "fine"], engine)) == 2


@pytest.mark.parametrize(
    "names", [[], [""], ["rados 'half"], ["''"]], ids=["none", "empty", "unended", "quoted"]
)
def test_what_is_no_tool_is_refused(engine: Engine, sandbox: str, names: list[str]) -> None:
    """Before any container is started."""
    with pytest.raises(ToolInvalid):
        tools.start(sandbox, names, engine)


def test_an_unknown_image_is_told(engine: Engine) -> None:
    """With what to type to get it."""
    with pytest.raises(ImageNotFound, match="the engine has no image cephtasks-test/none:latest") as caught:
        tools.start("cephtasks-test/none:latest", ["rados"], engine)
    assert "docker pull cephtasks-test/none:latest" in caught.value.hint
