"""Lines: a pack does not hold up what needs no engine, and no line ends before the engine has the image."""

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest

from cephtasks.engine import Engine
from cephtasks.tasks.line import UnderWay
from lab.gates import Gate, gate
from lab.packing import Packing, packing

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


@contextmanager
def started(lab: Packing, through: Gate, *words: str) -> Iterator[Typed]:
    """Type `pack` and further words; the block begins with the load at the engine."""
    with (
        (lab.terminal.folder / "stdout").open("w+") as stdout,
        (lab.terminal.folder / "stderr").open("w+") as stderr,
        subprocess.Popen(
            lab.terminal.command(*lab.words, *words),
            cwd=lab.terminal.folder,
            env=lab.terminal.environment(DOCKER_HOST=through.host, PYTHONUNBUFFERED="1"),
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


def typed(lab: Packing, through: Gate, *words: str) -> subprocess.CompletedProcess[str]:
    """Type `pack` and further words, to the end."""
    return lab.terminal.invoke("", *lab.words, *words, DOCKER_HOST=through.host)


@pytest.fixture
def lab(tiny: str, image_name: str, registry: str, tmp_path: Path) -> Packing:
    """A tree of one program, for a tiny base."""
    return packing(tmp_path, tiny, image_name, registry)


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


def test_a_push_does_not_wait_for_the_engine(lab: Packing, closed: Gate, engine: Engine) -> None:
    """The image is in the registry while the engine still takes it in; the line ends when both have it."""
    with started(lab, closed, "push") as line:
        assert line.has_printed(lab.name, lab.target.removesuffix(":wip"))
        closed.open.set()
        assert line.process.wait(_PATIENCE) == 0
    assert engine.image(lab.name) is not None


def test_what_uses_the_engine_waits_for_it(lab: Packing, closed: Gate, engine: Engine) -> None:
    """A tag is given once the image is there to get it."""
    with started(lab, closed, "tag") as line:
        assert line.has_printed(lab.name)
        time.sleep(0.5)  # to fail in, had it not waited
        assert line.has_printed(lab.name)
        closed.open.set()
        assert line.process.wait(_PATIENCE) == 0
    try:
        assert engine.require_image(lab.target, "") == engine.require_image(lab.name, "")
    finally:
        engine.untag(lab.target)


def test_an_engine_that_refuses_fails_the_line(lab: Packing, refusing: Gate) -> None:
    """With its own words and exit code, after the tasks that went well without it; then all is well."""
    done = typed(lab, refusing, "push")
    assert done.returncode == 1
    assert [line.partition("@")[0] for line in done.stdout.splitlines()] == [
        lab.name,
        lab.target.removesuffix(":wip"),
    ]
    assert "error: docker load failed: the disk is full" in done.stderr
    assert done.stderr.splitlines()[-1] == "hint: docker info"
    assert "Traceback" not in done.stderr
    assert lab.terminal.invoke("", *lab.words, "tag").returncode == 0
    docker.from_env().api.remove_image(lab.target)


def test_a_task_that_fails_tells_its_own_failure(lab: Packing, refusing: Gate) -> None:
    """What the engine said is told too, as a warning."""
    done = typed(lab, refusing, "push", "nobody/packed:this")
    assert done.returncode == 1
    assert "warning: docker load failed: the disk is full" in done.stderr
    assert done.stderr.rpartition("error: ")[2].startswith("nobody/packed:this has not been packed")


def test_a_task_that_fails_costs_no_image(lab: Packing, closed: Gate, engine: Engine) -> None:
    """What was packed before is in the engine nevertheless."""
    closed.open.set()
    done = typed(lab, closed, "push", "nobody/packed:this")
    assert done.returncode == 1
    assert engine.image(lab.name) is not None


def test_ctrl_c_waits_for_nobody(lab: Packing, closed: Gate, engine: Engine) -> None:
    """The line ends at once, and the same line typed again completes the image."""
    with started(lab, closed) as line:
        assert line.has_printed(lab.name)
        line.process.send_signal(signal.SIGINT)
        assert line.process.wait(_PATIENCE) == 130
        assert "error: stopped" in line.stderr.read_text()
    closed.open.set()
    done = typed(lab, closed)
    assert (done.returncode, done.stdout.strip()) == (0, lab.name)
    assert engine.image(lab.name) is not None


def test_without_a_line_nothing_is_left_under_way() -> None:
    """Where Invoke's own executor runs the tasks, each waits for what it began."""
    done: list[str] = []
    with ExitStack() as opened:
        opened.callback(done.append, "closed")
        UnderWay().leave(lambda: done.append("waited"), opened.pop_all())
    assert done == ["waited", "closed"]
