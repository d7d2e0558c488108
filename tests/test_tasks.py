"""Tasks, as a person types them: what they print where, and how they end."""

import errno
import json
import os
import pty
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cephtasks.keys import KEYS
from cephtasks.tasks.positional import is_given
from lab.terminal import ROOT, Terminal

_NO_BYTECODE = "PYTHONDONTWRITEBYTECODE"
_CARD_TASKS = ("fetch-base", "build", "check", "fix", "tag", "push", "catalog")


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    """A terminal with a `.env` that reaches no engine and no registry."""
    made = Terminal(tmp_path)
    made.set(STATE_DIR=tmp_path / "state", SOURCE_DIR=tmp_path / "ceph", REGISTRY="localhost:1")
    return made


def test_the_list_reads_like_a_table_of_contents(terminal: Terminal) -> None:
    """Every task has its line, and the card tasks are all there, under these names."""
    listed = terminal.invoke("--list").stdout
    for name in _CARD_TASKS:
        assert re.search(rf"^  {name} +\w", listed, re.MULTILINE), name
    assert all(re.match(r"  \S* +\S", line) for line in listed.splitlines()[2:] if line)


@pytest.mark.parametrize(
    "task",
    [
        *(*_CARD_TASKS, "compile", "pack", "settings", "demo", "shell", "registry.up"),
        *("builder.image", "builder.list", "builder.worker"),
    ],
)
def test_help_explains_every_flag(terminal: Terminal, task: str) -> None:
    """No flag stands without a word of what it does; flags are long."""
    done = terminal.invoke(f"--help {task}")
    assert done.returncode == 0, done.stderr
    options = done.stdout.partition("Options:\n")[2]
    flags = re.findall(r"^  (-.*)$", options, re.MULTILINE)
    assert "--env-file" in options
    for line in flags:
        assert re.fullmatch(r"--[a-z0-9-]+(=STRING)?( +\S.*)?", line), line
    assert not re.search(r"^  --\S+\n(?= {2}-|\n)", options, re.MULTILINE)


def test_settings_come_from_flag_environment_file_and_default(terminal: Terminal) -> None:
    """A flag beats the environment, which beats `.env`, which beats the default; the origin is shown."""
    done = terminal.invoke("settings --tag by-flag --json", TAG="by-environment", REPOSITORY="by/environment")
    shown = json.loads(done.stdout)
    assert list(shown) == [key.name for key in KEYS]
    assert shown["TAG"] == {"value": "by-flag", "from": "flag"}
    assert shown["REPOSITORY"] == {"value": "by/environment", "from": "environment"}
    assert shown["REGISTRY"] == {"value": "localhost:1", "from": ".env"}
    assert shown["CLEAN"] == {"value": False, "from": "default"}


def test_a_settings_file_can_be_named(terminal: Terminal, tmp_path: Path) -> None:
    """`--env-file` beats CEPHTASKS_ENV_FILE; one that is not there ends with 2."""
    (tmp_path / "other").write_text("TAG=other\n")
    named = terminal.invoke("settings --json --env-file", str(tmp_path / "other"))
    assert json.loads(named.stdout)["TAG"] == {"value": "other", "from": "other"}
    missing = terminal.invoke("settings --env-file", str(tmp_path / "missing"))
    assert (missing.returncode, missing.stdout) == (2, "")
    assert missing.stderr.startswith("error: ")
    assert "\nhint: cp .env.example" in missing.stderr


def test_without_a_settings_file_the_defaults_hold(tmp_path: Path) -> None:
    """A `tasks.py` without a `.env` beside it works."""
    (tmp_path / "tasks.py").write_text((ROOT / "tasks.py").read_text())
    environment = {**Terminal(tmp_path).environment(), "PYTHONPATH": str(ROOT)}
    del environment["CEPHTASKS_ENV_FILE"]
    command = [*Terminal(tmp_path).command()[:3], "settings", "--json"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["REGISTRY"] == {"value": "localhost:5000", "from": "default"}


def test_all_faults_of_the_settings_are_told_at_once(terminal: Terminal) -> None:
    """One line each, a hint, exit code 2, and nothing on stdout."""
    done = terminal.invoke("settings", REGISTRY="http://x", IMAGE_NAME="UPPER", BUILD_THREADS="none")
    assert (done.returncode, done.stdout) == (2, "")
    lines = done.stderr.splitlines()
    assert [line.split(" ")[1] for line in lines[:-1]] == ["BUILD_THREADS", "IMAGE_NAME", "REGISTRY"]
    assert lines[-1].startswith("hint: ")


def test_a_misspelt_key_is_warned_of_once(terminal: Terminal) -> None:
    """The nearest key is named; a line of several tasks warns once."""
    terminal.set(REGISTRI="localhost:5000")
    done = terminal.invoke("settings settings")
    assert done.returncode == 0
    assert done.stderr.count("warning: ") == 1
    assert "did you mean REGISTRY?" in done.stderr


@pytest.mark.parametrize(
    "line",
    [
        "fetch-base check not//a//reference",
        "fetch-base push --to bad:tag:here",
        "fetch-base build --build-threads 0",
        "fetch-base settings --registry http://x",
    ],
)
def test_a_wrong_argument_of_a_later_task_stops_the_first(terminal: Terminal, line: str) -> None:
    """The line is read whole before anything starts: without an engine, `fetch-base` would end with 1."""
    done = terminal.invoke(line, DOCKER_HOST="unix:///nowhere/docker.sock")
    assert (done.returncode, done.stdout) == (2, "")
    assert [text.partition(":")[0] for text in done.stderr.splitlines()] == ["error", "hint"]


@pytest.mark.parametrize(
    "task",
    [
        *("fetch-base", "build", "compile", "pack", "check", "fix", "tag"),
        *("builder.image", "builder.list", "builder.worker"),
    ],
)
def test_no_engine_is_one_line_and_a_hint(terminal: Terminal, task: str) -> None:
    """Every task that needs an engine says so without a traceback; nothing was written."""
    (terminal.folder / "ceph" / "build" / "install").mkdir(parents=True)
    (terminal.folder / "ceph" / "build" / "install" / "file").write_text("content")
    done = terminal.invoke(task, DOCKER_HOST="unix:///nowhere/docker.sock")
    assert (done.returncode, done.stdout) == (1, "")
    assert [text.partition(":")[0] for text in done.stderr.splitlines()] == ["error", "hint"]
    assert not (terminal.folder / "state").exists()


def test_debugging_shows_the_traceback(terminal: Terminal) -> None:
    """CEPHTASKS_DEBUG=1 tells where an error arose; the one line still ends it."""
    done = terminal.invoke("fetch-base", DOCKER_HOST="unix:///nowhere/docker.sock", CEPHTASKS_DEBUG="1")
    assert "Traceback" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("hint: ")


def test_a_chain_stops_at_its_first_failure(terminal: Terminal) -> None:
    """What follows a failed task is not started."""
    done = terminal.invoke("catalog settings")
    assert (done.returncode, done.stdout) == (1, "")


def test_pushing_what_was_never_packed_is_told(terminal: Terminal) -> None:
    """The hint is what makes an image."""
    done = terminal.invoke("push")
    assert done.returncode == 1
    assert "has not been packed" in done.stderr
    assert "hint: invoke build" in done.stderr


@pytest.mark.parametrize("kept", [True, False])
def test_what_python_compiles_is_kept_if_it_may_be(tmp_path: Path, kept: bool) -> None:
    """Invoke forbids it for all, for the sake of a tasks.py, beside which nothing is left."""
    root = tmp_path / "root"
    shutil.copytree(ROOT / "cephtasks", root / "cephtasks", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "tasks.py", root)
    environment = {name: value for name, value in os.environ.items() if name != _NO_BYTECODE}
    subprocess.run(
        [sys.executable, "-m", "invoke", f"--search-root={root}", "settings"],
        cwd=tmp_path,
        env=environment if kept else {**environment, _NO_BYTECODE: "1"},
        capture_output=True,
        check=True,
    )
    compiled = {path.parent.parent for path in root.rglob("*.pyc")}
    assert compiled >= {root / "cephtasks", root / "cephtasks" / "tasks"} if kept else not compiled
    assert root not in compiled


def test_a_reader_that_has_enough_is_no_error(terminal: Terminal) -> None:
    """`invoke settings | head -1` ends quietly."""
    line = subprocess.list2cmdline(terminal.command("settings", "--json"))
    done = subprocess.run(
        ["bash", "-c", f"{line} | true"],
        env=terminal.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""


def test_colour_only_on_a_terminal(terminal: Terminal) -> None:
    """A table has escape codes on a terminal, none in a pipe, none with NO_COLOR."""
    assert "\x1b" not in terminal.invoke("settings").stdout
    assert "\x1b[" in _on_a_terminal(terminal)
    assert "\x1b[1m" not in _on_a_terminal(terminal, NO_COLOR="1", TERM="dumb")


def _on_a_terminal(terminal: Terminal, **more: str) -> str:
    primary, secondary = pty.openpty()
    environment = {**terminal.environment(), "TERM": "xterm-256color", **more}
    process = subprocess.Popen(
        terminal.command("settings"), env=environment, stdout=secondary, stderr=secondary
    )
    os.close(secondary)
    seen = bytearray()
    try:
        while chunk := os.read(primary, 4096):
            seen += chunk
    except OSError as error:
        assert error.errno == errno.EIO  # a terminal's way to tell its end
    finally:
        os.close(primary)
        process.wait()
    return seen.decode()


_TASKS = {"check", "fix", "push"}


@pytest.mark.parametrize(
    ("words", "given"),
    [
        ("check", False),
        ("check fix", False),
        ("check reference", True),
        ("check --json reference", True),
        ("check --tool rados", False),
        ("check --tool rados reference", True),
        ("check --tool=rados fix", False),
        ("fix other check", False),
        ("push check reference", True),
        ("check -- reference", False),
        ("-e check reference", True),
    ],
)
def test_a_first_argument_may_be_left_out(words: str, given: bool) -> None:
    """A word counts for the task before it, unless it is a flag, a flag's value, or a task."""
    assert is_given(words.split(), {"check"}, _TASKS, {"--tool"}) == given
