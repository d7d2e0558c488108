"""Bootstrap, on a machine where it has run before."""

import os
import subprocess
import sys
from pathlib import Path

from cephtasks.engine import Engine

SCRIPT = Path(__file__).resolve().parent.parent / "script"
IMAGES = ("cephbuilder/ceph:latest", "cephtasks/miniceph-base:latest", "cephtasks/ceph-base:16")


def run(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a script from some other folder."""
    return subprocess.run(
        command, check=False, cwd="/", env={**os.environ, **environment}, capture_output=True, text=True
    )


def test_another_word_is_refused() -> None:
    """It is told what may be said, and nothing is set up."""
    done = run(SCRIPT / "bootstrap", "tests")
    assert done.returncode == 1
    assert done.stderr == (
        "error: script/bootstrap takes nothing, or the word test\nhint: script/bootstrap\n"
    )


def test_an_engine_elsewhere_is_not_ours_to_start() -> None:
    """Where DOCKER_HOST names an engine that does not answer, no other is started."""
    done = run(SCRIPT / "bootstrap", DOCKER_HOST="tcp://127.0.0.1:1")
    assert done.returncode == 1
    assert done.stderr == (
        "error: the engine at DOCKER_HOST=tcp://127.0.0.1:1 does not answer\nhint: docker version\n"
    )


def test_images_that_are_made_are_not_made_again(engine: Engine) -> None:
    """What bootstrap made stays as it is, and nothing is said."""
    before = [engine.require_image(name, "script/bootstrap test").id for name in IMAGES]
    done = run(sys.executable, SCRIPT / "images.py", "test")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert [engine.require_image(name, "script/bootstrap test").id for name in IMAGES] == before
