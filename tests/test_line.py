"""Lines: a pack does not hold up what needs no engine, and no line ends before the engine has the image."""

import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest

from cephtasks.engine import Engine
from cephtasks.tasks.line import UnderWay
from lab.gates import Gate, gate
from lab.terminal import Terminal

_PATIENCE = 60  # seconds


@dataclass(frozen=True)
class Typed:
    """A line that runs, and the files that it prints to."""

    process: subprocess.Popen[bytes]
    stdout: Path
    stderr: Path

    def has_printed(self, *results: str) -> bool:
        """Whether it prints these on stdout, but for digests, in time and goes on."""
        deadline = time.monotonic() + _PATIENCE
        while len(self._results()) < len(results) and time.monotonic() < deadline:
            time.sleep(0.02)
        return self._results() == [*results] and self.process.poll() is None

    def _results(self) -> list[str]:
        return [line.partition("@")[0] for line in self.stdout.read_text().splitlines()]


@dataclass(frozen=True)
class Lab:
    """A terminal with settings of its own, an install tree, and the names of its images."""

    terminal: Terminal
    tree: Path
    name: str
    target: str

    @contextmanager
    def start(self, through: Gate, *words: str) -> Iterator["Typed"]:
        """Type `pack` and further words; the block begins with the load at the engine."""
        with (
            (self.terminal.folder / "stdout").open("w+") as stdout,
            (self.terminal.folder / "stderr").open("w+") as stderr,
            subprocess.Popen(
                self.terminal.command("pack", "--tree", str(self.tree), *words),
                cwd=self.terminal.folder,
                env=self.terminal.environment(DOCKER_HOST=through.host, PYTHONUNBUFFERED="1"),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
            ) as process,
        ):
            try:
                assert through.loading.wait(_PATIENCE)
                yield Typed(process, Path(stdout.name), Path(stderr.name))
            finally:
                process.kill()

    def type(self, through: Gate, *words: str) -> subprocess.CompletedProcess[str]:
        """Type `pack` and further words, to the end."""
        return self.terminal.invoke("pack --tree", str(self.tree), *words, DOCKER_HOST=through.host)


@pytest.fixture
def lab(tiny: str, image_name: str, registry: str, tmp_path: Path) -> Lab:
    """A tree of one program, for a tiny base."""
    (tmp_path / "tree/usr/bin").mkdir(parents=True)
    (tmp_path / "tree/usr/bin/ceph-osd").write_bytes(image_name.encode())
    repository = f"lines/{uuid.uuid4().hex[:12]}"
    terminal = Terminal(tmp_path)
    terminal.set(
        BASE_IMAGE=tiny,
        IMAGE_NAME=f"{image_name}:packed",
        REGISTRY=registry,
        REPOSITORY=repository,
        TAG="wip",
        STATE_DIR=tmp_path / "state",
    )
    return Lab(terminal, tmp_path / "tree", f"{image_name}:packed", f"{registry}/{repository}:wip")


@pytest.fixture
def closed() -> Iterator[Gate]:
    """A way to the engine on which loads are answered only when a test opens it."""
    with gate() as made:
        yield made


@pytest.fixture
def refusing() -> Iterator[Gate]:
    """A way to the engine on which loads are refused."""
    with gate(refuses=True) as made:
        yield made


def test_a_push_does_not_wait_for_the_engine(lab: Lab, closed: Gate, engine: Engine) -> None:
    """The image is in the registry while the engine still takes it in; the line ends when both have it."""
    with lab.start(closed, "push") as typed:
        assert typed.has_printed(lab.name, lab.target.removesuffix(":wip"))
        closed.open.set()
        assert typed.process.wait(_PATIENCE) == 0
    assert engine.image(lab.name) is not None


def test_what_uses_the_engine_waits_for_it(lab: Lab, closed: Gate, engine: Engine) -> None:
    """A tag is given once the image is there to get it."""
    with lab.start(closed, "tag") as typed:
        assert typed.has_printed(lab.name)
        time.sleep(0.5)  # to fail in, had it not waited
        assert typed.has_printed(lab.name)
        closed.open.set()
        assert typed.process.wait(_PATIENCE) == 0
    try:
        assert engine.require_image(lab.target, "") == engine.require_image(lab.name, "")
    finally:
        engine.untag(lab.target)


def test_an_engine_that_refuses_fails_the_line(lab: Lab, refusing: Gate) -> None:
    """With its own words and exit code, after the tasks that went well without it; then all is well."""
    done = lab.type(refusing, "push")
    assert done.returncode == 1
    assert [line.partition("@")[0] for line in done.stdout.splitlines()] == [
        lab.name,
        lab.target.removesuffix(":wip"),
    ]
    assert "error: docker load failed: the disk is full" in done.stderr
    assert done.stderr.splitlines()[-1] == "hint: docker info"
    assert "Traceback" not in done.stderr
    assert lab.terminal.invoke("pack --tree", str(lab.tree), "tag").returncode == 0
    docker.from_env().api.remove_image(lab.target)


def test_a_task_that_fails_tells_its_own_failure(lab: Lab, refusing: Gate) -> None:
    """What the engine said is told too, as a warning."""
    done = lab.type(refusing, "push", "nobody/packed:this")
    assert done.returncode == 1
    assert "warning: docker load failed: the disk is full" in done.stderr
    assert done.stderr.rpartition("error: ")[2].startswith("nobody/packed:this has not been packed")


def test_a_task_that_fails_costs_no_image(lab: Lab, closed: Gate, engine: Engine) -> None:
    """What was packed before is in the engine nevertheless."""
    closed.open.set()
    done = lab.type(closed, "push", "nobody/packed:this")
    assert done.returncode == 1
    assert engine.image(lab.name) is not None


def test_ctrl_c_waits_for_nobody(lab: Lab, closed: Gate, engine: Engine) -> None:
    """The line ends at once, and the same line typed again completes the image."""
    with lab.start(closed) as typed:
        assert typed.has_printed(lab.name)
        typed.process.send_signal(signal.SIGINT)
        assert typed.process.wait(_PATIENCE) == 130
        assert "error: stopped" in typed.stderr.read_text()
    closed.open.set()
    done = lab.type(closed)
    assert (done.returncode, done.stdout.strip()) == (0, lab.name)
    assert engine.image(lab.name) is not None


def test_without_a_line_nothing_is_left_under_way() -> None:
    """Where Invoke's own executor runs the tasks, each waits for what it began."""
    done: list[str] = []
    with ExitStack() as opened:
        opened.callback(done.append, "closed")
        UnderWay().leave(lambda: done.append("waited"), opened.pop_all())
    assert done == ["waited", "closed"]
