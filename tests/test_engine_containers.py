"""Containers, run by the engine of this machine."""

import gc
import os
import signal
import subprocess
import sys
import time
import uuid
import warnings
from pathlib import Path

import pytest

from cephtasks.engine import LABEL, Engine, Mount, RunResult, RunSpec
from cephtasks.errors import ContainerFailed, ImageNotFound
from lab.engines import node, tiny_image
from lab.processes import wait_until

_EVERY_BYTE = bytes(range(256)) * 4096
_HARD_VALUES = {
    "SPACES": "two  words",
    "QUOTES": """it's "so" `now`""",
    "DOLLAR": "$HOME \\ !",
    "LINES": "one\ntwo\ttabbed",
    "EMPTY": "",
    "ACCENT": "Übergrößen",
}


def drop(_: bytes) -> None:
    """Nobody listens."""


def sh(image: str, script: str, **more: object) -> RunSpec:
    """A container that runs a shell script."""
    return RunSpec(image, ("-c", script), ("sh",), **more)  # type: ignore[arg-type]


def output_of(engine: Engine, spec: RunSpec) -> str:
    """What a container that ends well writes to stdout."""
    out, err = bytearray(), bytearray()
    assert engine.run(spec, out.extend, err.extend) == RunResult(0), bytes(err)
    return out.decode()


def left_over(purpose: str) -> str:
    """The containers with a purpose that are still there, running or not."""
    command = ["docker", "ps", "--all", "--quiet", f"--filter=label={LABEL}={purpose}"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def purpose() -> str:
    """A purpose that no other container has."""
    return f"test-{uuid.uuid4().hex[:12]}"


def test_output_and_exit_code_come_back(engine: Engine, tiny: str, purpose: str) -> None:
    """Stdout and stderr arrive apart, the exit code is the command's, and nothing is left."""
    out, err = bytearray(), bytearray()
    spec = sh(tiny, "echo one; echo two >&2; exit 3", purpose=purpose)
    assert engine.run(spec, out.extend, err.extend) == RunResult(3)
    assert (bytes(out), bytes(err)) == (b"one\n", b"two\n")
    assert left_over(purpose) == ""


def test_output_is_live(engine: Engine, tiny: str, tmp_path: Path) -> None:
    """A line arrives while the container runs: it waits for what the line makes us do."""
    script = "echo first; until [ -e /seen/it ]; do sleep 0.05; done; echo second"
    out = bytearray()

    def on_stdout(chunk: bytes) -> None:
        out.extend(chunk)
        (tmp_path / "it").touch()

    spec = sh(tiny, script, mounts=(Mount(tmp_path, "/seen"),), timeout=30)
    assert engine.run(spec, on_stdout, drop) == RunResult(0)
    assert bytes(out) == b"first\nsecond\n"


def test_output_may_be_any_bytes(engine: Engine, tiny: str, tmp_path: Path) -> None:
    """Megabytes of every byte come through both streams as they are."""
    (tmp_path / "bytes").write_bytes(_EVERY_BYTE)
    spec = sh(tiny, "cat /in/bytes & cat /in/bytes >&2; wait", mounts=(Mount(tmp_path, "/in"),))
    out, err = bytearray(), bytearray()
    assert engine.run(spec, out.extend, err.extend) == RunResult(0)
    assert bytes(out) == bytes(err) == _EVERY_BYTE


def test_a_container_may_close_its_output_and_work_on(engine: Engine, tiny: str) -> None:
    """Silence is not the end: the exit code is waited for."""
    assert engine.run(sh(tiny, "exec >&- 2>&-; sleep 0.5; exit 5"), drop, drop) == RunResult(5)


@pytest.mark.parametrize("script", ["trap '' TERM INT; sleep 60 & wait", "exec >&- 2>&-; sleep 60"])
def test_the_timeout_kills(engine: Engine, tiny: str, script: str) -> None:
    """What takes too long is killed, also when it ignores SIGTERM or closed its output."""
    started = time.monotonic()
    result = engine.run(sh(tiny, script, timeout=0.5), drop, drop)
    assert (result.timed_out, result.exit_code, result.oom_killed) == (True, 137, False)
    assert time.monotonic() - started < 10


def test_who_is_in_time_is_not_late(engine: Engine, tiny: str) -> None:
    """A timeout that is not reached changes nothing."""
    assert engine.run(sh(tiny, "exit 0", timeout=30), drop, drop) == RunResult(0)


def test_a_lack_of_memory_is_recognized(engine: Engine, tiny: str, purpose: str) -> None:
    """A container whose process the kernel kills for lack of memory is told from one that fails."""

    def limit(_: bytes) -> None:
        container = left_over(purpose).strip()
        options = ("--memory=32m", "--memory-swap=32m")
        subprocess.run(["docker", "update", *options, container], check=True, capture_output=True)

    script = "echo up; sleep 1; busybox awk 'BEGIN { s = \"x\"; while (1) s = s s }'"
    result = engine.run(sh(tiny, script, purpose=purpose, timeout=60), limit, drop)
    assert (result.oom_killed, result.exit_code, result.timed_out) == (True, 137, False)


_INTERRUPTED = """
import sys
from cephtasks.engine import Engine, RunSpec

def show(chunk):
    sys.stdout.buffer.write(chunk)
    sys.stdout.flush()

script = "trap '' TERM INT; echo up; sleep 600 & wait"
Engine.connect().run(RunSpec(sys.argv[1], ("-c", script), ("sh",), purpose=sys.argv[2]), show, show)
"""


@pytest.mark.parametrize("presses", [1, 2, 100])
def test_ctrl_c_takes_the_container_away(tiny: str, purpose: str, presses: int) -> None:
    """Ctrl-C kills and removes at once, and pressing it again and again does not stop that."""
    command = [sys.executable, "-c", _INTERRUPTED, tiny, purpose]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        for _ in range(presses):
            process.send_signal(signal.SIGINT)
            time.sleep(0.0005)
        process.communicate(timeout=10)
    assert process.returncode != 0
    assert left_over(purpose) == ""


def test_ctrl_c_before_the_first_word_leaves_nothing(tiny: str, purpose: str) -> None:
    """However early Ctrl-C comes, no container is left, not even one that never ran."""
    for delay in (0.0, 0.02, 0.05, 0.1):
        command = [sys.executable, "-c", f"print(flush=True){_INTERRUPTED}", tiny, purpose]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(0.2 + delay)  # the imports
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=10)
    assert left_over(purpose) == ""


def test_a_listener_that_fails_is_not_blamed_on_the_container(
    engine: Engine, tiny: str, purpose: str
) -> None:
    """An error of the caller's own reaches the caller as it is, and the container goes."""

    def full(_: bytes) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        engine.run(sh(tiny, "echo up; sleep 60", purpose=purpose), full, drop)
    assert left_over(purpose) == ""


def test_a_command_that_is_missing_is_named(engine: Engine, tiny: str, purpose: str) -> None:
    """What cannot be started is told with its name, and nothing is left."""
    with pytest.raises(ContainerFailed, match='exec: "build-cmake": executable file not found'):
        engine.run(RunSpec(tiny, entrypoint=("build-cmake",), purpose=purpose), drop, drop)
    assert left_over(purpose) == ""


def test_an_image_that_is_missing_is_named(engine: Engine) -> None:
    """A container of an image that the engine lacks is not pulled in silence."""
    with pytest.raises(ImageNotFound) as caught:
        engine.run(RunSpec("cephtasks-test/nowhere:latest"), drop, drop)
    assert caught.value.fact == "the engine has no image cephtasks-test/nowhere:latest"
    assert caught.value.hint == "docker pull cephtasks-test/nowhere:latest"


def test_a_folder_that_is_missing_is_named(engine: Engine, tiny: str, tmp_path: Path) -> None:
    """No folder is made on the host, owned by root, where the one to mount is missing."""
    with pytest.raises(ContainerFailed, match=f"{tmp_path}/none"):
        engine.run(sh(tiny, "true", mounts=(Mount(tmp_path / "none", "/in"),)), drop, drop)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("name", ["two words", "a:b:ro", "a,b", 'say "x"', "größe", "-dash", "$HOME"])
def test_a_mounted_folder_may_have_any_name(engine: Engine, tiny: str, tmp_path: Path, name: str) -> None:
    """What is special to Docker's volume syntax, to CSV or to a shell is not special here."""
    folder = tmp_path / name
    folder.mkdir()
    (folder / "file").write_text("hello")
    assert output_of(engine, sh(tiny, "cat /in/file", mounts=(Mount(folder, "/in"),))) == "hello"


def test_a_read_only_mount_cannot_be_written(engine: Engine, tiny: str, tmp_path: Path) -> None:
    """Read-only means what it says."""
    spec = sh(tiny, "touch /in/file", mounts=(Mount(tmp_path, "/in", read_only=True),))
    assert engine.run(spec, drop, drop).exit_code == 1
    assert not (tmp_path / "file").exists()


def test_a_passable_folder_may_be_entered_by_anybody(engine: Engine, image_name: str) -> None:
    """A command in a folder that only root may enter runs as another user, in that container alone."""
    image = f"{image_name}:private"
    script = {"root/bin/who": b"#!/bin/sh\nid -u\n"}
    tiny_image(engine, image, "ENV PATH=/bin:/root/bin", files=script, private=["root"])
    spec = RunSpec(image, entrypoint=("who",), user="4711:4711")
    with pytest.raises(ContainerFailed):
        engine.run(spec, drop, drop)
    opened = RunSpec(image, entrypoint=("who",), user="4711:4711", passable=("/root",))
    assert output_of(engine, opened) == "4711\n"
    assert output_of(engine, sh(image, "ls -ld /root")).startswith("drwx------")


def spec_with_everything(image: str, tmp_path: Path) -> RunSpec:
    """A container whose line is hard to quote."""
    folder = tmp_path / 'it\'s, "a:b"'
    folder.mkdir()
    (folder / "file").write_text("mounted")
    shown = "; ".join(f'echo "${name}|"' for name in _HARD_VALUES)
    script = f'{shown}; cat /in/file; echo; id -u; pwd; echo "$0 $1"; exit 7'
    return RunSpec(
        image,
        command=(script, "zero", "one two"),
        entrypoint=("sh", "-c"),
        env=_HARD_VALUES,
        mounts=(Mount(folder, "/in", read_only=True),),
        user="4711:4711",
        workdir="/tmp",
    )


def test_the_echoed_line_does_the_same(tiny: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """What `-e` shows can be pasted into a shell: same output, same exit code."""
    spec = spec_with_everything(tiny, tmp_path)
    engine = Engine.connect(echo=True)
    out = bytearray()
    result = engine.run(spec, out.extend, drop)
    engine.close()
    line = capfd.readouterr().err
    pasted = subprocess.run(["sh", "-c", line], check=False, capture_output=True)
    assert (pasted.returncode, pasted.stdout) == (result.exit_code, bytes(out))
    assert result.exit_code == 7
    assert "Übergrößen|" in out.decode()


def test_a_dry_run_only_echoes(tiny: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """With --dry the line is shown, and nothing runs."""
    engine = Engine.connect(dry=True)
    spec = sh(tiny, "touch /in/file", mounts=(Mount(tmp_path, "/in"),))
    assert engine.run(spec, drop, drop) == RunResult(0)
    engine.close()
    assert capfd.readouterr().err == f"{spec.command_line()}\n"
    assert not (tmp_path / "file").exists()


def test_an_engine_that_goes_away_is_one_line(tmp_path: Path) -> None:
    """An engine that is shut down while a container runs ends the run with an error of ours."""
    folder = tmp_path / "node"
    with node(folder) as made:
        engine = Engine.connect(host=f"unix://{made.socket}")
        tiny_image(engine, "tiny:latest")
        daemon = int((folder / "pid").read_text())
        spec = sh("tiny:latest", "trap 'exit 1' TERM; echo up; while :; do sleep 0.1; done", timeout=60)
        with pytest.raises(ContainerFailed) as caught:
            engine.run(spec, lambda _: os.kill(daemon, signal.SIGTERM), drop)
        engine.close()
        wait_until(lambda: not (folder / "pid").exists(), "ending the engine")
    assert "could not be run to its end: the engine does not answer any more (" in caught.value.fact
    del caught
    with warnings.catch_warnings(action="ignore", category=ResourceWarning):
        gc.collect()  # the SDK leaves it to that to close a socket that could not be connected
