"""The chain on a real Ceph: packed, checked, pushed, pulled by an empty engine, and started there."""

import json
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cephtasks.engine import Engine
from lab import ceph
from lab.engines import node
from lab.registries import registry
from lab.terminal import Terminal


@dataclass(frozen=True)
class Pushed:
    """A terminal where the real Ceph was packed and pushed, and what that printed."""

    terminal: Terminal
    name: str
    document: dict[str, object]


@pytest.fixture(scope="module")
def pushed(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pushed]:
    """The real install tree on its base, packed and pushed by what a person types."""
    folder = tmp_path_factory.mktemp("real-ceph")
    name = f"cephtasks-test/real-{uuid.uuid4().hex[:12]}"
    with registry(folder / "registry") as lab, ceph.split(folder / "tree", f"{name}:base") as real:
        terminal = Terminal(folder)
        terminal.set(
            BASE_IMAGE=real.base,
            IMAGE_NAME=f"{name}:packed",
            REGISTRY=lab.host,
            TAG="real",
            STATE_DIR=folder / "state",
        )
        try:
            done = terminal.invoke("pack --tree", str(real.tree), "push", "--json")
            assert done.returncode == 0, done.stderr
            packed, _, document = done.stdout.partition("\n")
            assert packed == f"{name}:packed"
            yield Pushed(terminal, f"{name}:packed", json.loads(document))
        finally:
            subprocess.run(
                ["docker", "image", "rm", "--force", f"{name}:packed"], capture_output=True, check=False
            )


def test_every_tool_starts(pushed: Pushed) -> None:
    """All default tools of the real Ceph are healthy on the packed image."""
    done = pushed.terminal.invoke("check --json")
    findings = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    assert [finding["tool"] for finding in findings] == [
        *("ceph", "ceph-fuse", "rados", "rbd", "ceph-mon", "ceph-osd", "ceph-mds", "ceph-mgr", "radosgw"),
    ]
    assert all(finding["ok"] for finding in findings)


def test_an_engine_with_an_empty_store_pulls_and_starts_it(pushed: Pushed, tmp_path: Path) -> None:
    """A node needs nothing but the registry; the image id is the one that was computed when packing."""
    reference = f"{str(pushed.document['reference']).partition(':real')[0]}@{pushed.document['digest']}"
    with node(tmp_path / "node") as far:
        far.docker("pull", "--quiet", reference)
        started = far.docker("run", "--rm", "--network=none", reference, "ceph-mds", "--version")
        far_id = far.docker("image", "inspect", "--format={{.Id}}", reference).stdout.strip()
    assert started.stdout.startswith("ceph version 16.2.15")
    assert far_id == _image_id(pushed.name)


def test_pushing_again_sends_nothing(pushed: Pushed) -> None:
    """The registry has every blob; the digest stays."""
    done = pushed.terminal.invoke("push --json")
    again = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    assert again["uploaded_bytes"] == 0
    assert again["digest"] == pushed.document["digest"]
    assert {layer["status"] for layer in again["layers"]} == {"present"}


def test_the_catalog_lists_it(pushed: Pushed) -> None:
    """`catalog` prints what the old curl line printed."""
    assert (
        pushed.terminal.invoke("catalog").stdout
        == '{\n    "repositories": [\n        "ceph/daemon"\n    ]\n}\n'
    )


def _image_id(name: str) -> str:
    inspected = subprocess.run(
        ["docker", "image", "inspect", "--format={{.Id}}", name], capture_output=True, text=True, check=True
    )
    return inspected.stdout.strip()
