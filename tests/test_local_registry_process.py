"""Processes: started apart from us, and ended only if they are still the ones."""

import os
import shutil
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from cephtasks.local_registry import process
from cephtasks.local_registry.process import Process
from lab.processes import wait_until


def _start(tmp_path: Path, script: str) -> Process:
    shell = shutil.which("sh")
    assert shell
    return process.start([shell, "-c", script], tmp_path / "log")


def _killed(started: Process) -> None:
    if process.is_running(started):
        os.kill(started.pid, signal.SIGKILL)
    process.end(started)


def test_a_program_runs_apart_from_us(tmp_path: Path) -> None:
    """In a session of its own, so a Ctrl-C here is none there; its output goes to the log."""
    started = _start(tmp_path, "echo one; echo two >&2; exec sleep 60")
    try:
        assert process.is_running(started)
        assert os.getsid(started.pid) == started.pid
        wait_until(lambda: (tmp_path / "log").read_text() == "one\ntwo\n", "the output")
    finally:
        _killed(started)


def test_it_gets_no_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is set for us changes nothing there."""
    monkeypatch.setenv("REGISTRY_HTTP_ADDR", ":1")
    _start(tmp_path, "echo ${REGISTRY_HTTP_ADDR-unset}")
    wait_until(lambda: (tmp_path / "log").read_text() == "unset\n", "the output")


def test_the_log_is_continued(tmp_path: Path) -> None:
    """What an earlier one said stays."""
    (tmp_path / "log").write_text("before\n")
    _start(tmp_path, "echo after")
    wait_until(lambda: (tmp_path / "log").read_text() == "before\nafter\n", "the output")


def test_it_is_ended(tmp_path: Path) -> None:
    """And once more is no error."""
    started = _start(tmp_path, "exec sleep 60")
    process.end(started)
    assert not process.is_running(started)
    process.end(started)


def test_one_that_ended_by_itself_is_not_running(tmp_path: Path) -> None:
    """Though it is our child, and nobody asked for its exit code yet."""
    started = _start(tmp_path, "exit 3")
    wait_until(lambda: not process.is_running(started), "the end")
    process.end(started)
    assert not Path(f"/proc/{started.pid}").exists()


def test_another_program_of_the_same_pid_is_left_alone() -> None:
    """Its start time tells."""
    with subprocess.Popen(["sleep", "60"]) as other:
        try:
            process.end(Process(other.pid, started=1))
            assert other.poll() is None
        finally:
            other.kill()


def test_a_name_with_blanks_and_brackets_misleads_nobody(tmp_path: Path) -> None:
    """The kernel puts a program's name in front of what is read."""
    named = tmp_path / "a ) S 1 (b"
    shutil.copy(shutil.which("sleep") or "", named)
    started = process.start([str(named), "60"], tmp_path / "log")
    try:
        assert process.is_running(started)
        assert not process.is_running(replace(started, started=started.started + 1))
        time.sleep(0.05)
        assert process.is_running(started)
    finally:
        _killed(started)


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    """The operating system's own error is raised."""
    with pytest.raises(FileNotFoundError):
        process.start([str(tmp_path / "nothing")], tmp_path / "log")
