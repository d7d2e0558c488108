"""Ctrl-C during a push: a process of its own, a real signal, a real registry."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cephtasks.oci import Image
from cephtasks.reference import parse
from cephtasks.registry import Client, push
from cephtasks.store import Store
from lab.images import packed
from lab.webs import Request, Stall, Web, between

_PUSH = """
import sys
from pathlib import Path
from cephtasks.errors import CephtasksError
from cephtasks.reference import parse
from cephtasks.registry import Client, push
from cephtasks.store import Store

store = Store(Path(sys.argv[1]))
target = parse(sys.argv[2])
try:
    with Client(target.registry) as client:
        push(client, target, store.require_image("image"), store.open)
except CephtasksError as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_code)
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store in which the process finds the image."""
    return Store(tmp_path / "store")


@pytest.fixture
def image(store: Store) -> Image:
    """An image with layers large enough to be stopped in."""
    return packed(store, "image", [{"one": os.urandom(3_000_000)}, {"two": os.urandom(2_000_000)}])


def _interrupted(web: Web, store: Path, target: str) -> tuple[int, str, float]:
    """Exit code, stderr and seconds after Ctrl-C of a push that is stopped once the server stalls."""
    command = [sys.executable, "-c", _PUSH, str(store), target]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with process:
        assert web.stalled.wait(20)
        pressed = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=20)
    return process.returncode, told, time.monotonic() - pressed


@pytest.mark.parametrize(
    ("method", "part", "after"),
    [
        ("PUT", "/blobs/uploads/", 500_000),  # it is still sending, and nobody reads
        ("PUT", "/blobs/uploads/", 10_000_000),  # all is sent, and nobody answers
        ("POST", "/blobs/uploads/", 0),
        ("PUT", "/manifests/", 10_000),
    ],
)
def test_ctrl_c_ends_a_push(
    registry: str, store: Store, image: Image, tmp_path: Path, method: str, part: str, after: int
) -> None:
    """Soon, with one line and one hint, without a tag; and the same push completes the next time."""
    repository = f"interrupted/{method.lower()}-{after}-{os.getpid()}"

    def meddle(request: Request) -> Stall | None:
        return Stall(after) if request.method == method and part in request.path else None

    with between(registry, meddle) as web:
        target = f"{web.host}/{repository}:1"
        code, told, seconds = _interrupted(web, tmp_path / "store", target)
    assert told == (
        f"error: push to {target} was stopped; the registry keeps the blobs that were through\n"
        "hint: type the same again, it sends only the rest\n"
    )
    assert code == 130
    assert seconds < 3
    with Client(registry) as client:
        answer = client.send("GET", f"/v2/{repository}/manifests/1", "it", ok=(200, 404))
        assert answer.status_code == 404
        assert push(client, parse(f"{registry}/{repository}:1"), image, store.open).digest == image.digest


def test_a_killed_push_leaves_no_tag(registry: str, store: Store, image: Image, tmp_path: Path) -> None:
    """Even where there was no time to say anything."""
    repository = f"interrupted/killed-{os.getpid()}"

    def meddle(request: Request) -> Stall | None:
        return Stall(500_000) if request.method == "PUT" else None

    with between(registry, meddle) as web:
        command = [sys.executable, "-c", _PUSH, str(tmp_path / "store"), f"{web.host}/{repository}:1"]
        with subprocess.Popen(command) as process:
            assert web.stalled.wait(20)
            process.kill()
    with Client(registry) as client:
        answer = client.send("GET", f"/v2/{repository}/manifests/1", "it", ok=(200, 404))
        assert answer.status_code == 404
        assert push(client, parse(f"{registry}/{repository}:1"), image, store.open).digest == image.digest


def test_a_large_blob_is_never_in_memory(registry: str, store: Store, tmp_path: Path) -> None:
    """A process that pushes 200 MB stays below 100 MB."""
    packed(store, "image", [{"large": os.urandom(50_000_000) * 4}])
    script = f"{_PUSH}\nprint(Path('/proc/self/status').read_text())"
    target = f"{registry}/interrupted/large-{os.getpid()}:1"
    command = [sys.executable, "-c", script, str(tmp_path / "store"), target]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    most = next(line for line in done.stdout.splitlines() if line.startswith("VmHWM:"))
    assert int(most.split()[1]) * 1024 < 100_000_000
