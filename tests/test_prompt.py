"""Prompt: `invoke shell`, typed to on a terminal, in a container of a real engine."""

import os
import pty
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cephtasks.engine import LABEL, Engine
from lab.engines import tiny_image
from lab.processes import wait_until
from lab.terminal import Terminal

_OWNER = 4711


class Typed:
    """A program on a terminal of its own, that is typed to and read from."""

    def __init__(self, process: "subprocess.Popen[bytes]", terminal: int) -> None:
        self.process = process
        self.said = b""
        self._terminal = terminal

    def type(self, line: str) -> None:
        """Type a line."""
        os.write(self._terminal, line.encode() + b"\r")

    def wait_for(self, text: str) -> None:
        """Read on until the program has said something."""
        while text.encode() not in self.said:
            try:
                self.said += os.read(self._terminal, 4096)
            except OSError as error:  # a terminal's way to tell its end
                raise AssertionError(self.said.decode()) from error


@contextmanager
def on_a_terminal(terminal: Terminal, *words: str) -> Iterator[Typed]:
    """Type `invoke` on a terminal with 33 lines and 100 columns."""
    primary, secondary = pty.openpty()
    subprocess.run(["stty", "rows", "33", "cols", "100"], stdin=secondary, check=True)
    with subprocess.Popen(
        terminal.command(*words),
        cwd=terminal.folder,
        env={**terminal.environment(), "TERM": "xterm"},
        stdin=secondary, stdout=secondary, stderr=secondary,
        start_new_session=True,
    ) as process:  # fmt: skip
        os.close(secondary)
        try:
            yield Typed(process, primary)
        finally:
            process.kill()
            os.close(primary)


@pytest.fixture
def terminal(engine: Engine, image_name: str, tmp_path: Path) -> Terminal:
    """Settings with a builder image that has a shell, and a source of somebody who is not root."""
    name = f"{image_name}:builder"
    tiny_image(engine, name, "ENV PATH=/bin", links={"bin/stty": "busybox", "bin/tty": "busybox"})
    (tmp_path / "ceph").mkdir()
    (tmp_path / "ceph" / "source").touch()
    os.chown(tmp_path / "ceph", _OWNER, _OWNER)
    made = Terminal(tmp_path)
    made.set(
        SOURCE_DIR=tmp_path / "ceph", STATE_DIR=tmp_path / "state", BUILDER_IMAGE=name, SHA1_OR_REF="",
        BUILD_THREADS="3", CONFIGURE_FLAGS="-DA=1",
    )  # fmt: skip
    return made


def test_a_prompt_is_where_compile_would_run(terminal: Terminal, tmp_path: Path) -> None:
    """User, folder and variables are those of compile; the terminal is as ours, and Ctrl-C the shell's."""
    with on_a_terminal(terminal, "shell", "--env", "MORE=some") as typed:
        typed.wait_for("$")
        typed.type("echo at $PWD as $(id -u) with $BUILD_THREADS $CONFIGURE_FLAGS $RECONFIGURE $MORE")
        typed.wait_for(f"at /ceph as {_OWNER} with 3 -DA=1 true some")
        typed.type("stty size; tty; touch made; echo 'is' there")
        typed.wait_for("33 100")
        typed.wait_for("/dev/pts/0")
        typed.wait_for("is there")
        typed.type("echo 'now' asleep; sleep 600")
        typed.wait_for("now asleep")
        typed.type("\x03")
        typed.type("echo 'still' here; exit 3")
        typed.wait_for("still here")
        assert typed.process.wait(30) == 0
    assert (tmp_path / "ceph/made").stat().st_uid == _OWNER


def test_no_container_is_left(terminal: Terminal) -> None:
    """However the prompt ends: here by the terminal going away."""
    listing = ["docker", "ps", "--all", "--quiet", f"--filter=label={LABEL}=shell"]

    def there() -> set[str]:
        return set(subprocess.run(listing, check=True, capture_output=True, text=True).stdout.split())

    before = there()
    with on_a_terminal(terminal, "shell") as typed:
        typed.wait_for("$")
        assert there() - before
        typed.process.terminate()
        assert typed.process.wait(30) == 130
    wait_until(lambda: not there() - before, "the container to go")


def test_a_pipe_is_no_place_for_a_prompt(terminal: Terminal) -> None:
    """It is told what is wrong, before anything is started."""
    done = terminal.invoke("shell")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-2:] == [
        "error: a prompt needs a terminal, and this is a pipe",
        "hint: type it in a terminal",
    ]
