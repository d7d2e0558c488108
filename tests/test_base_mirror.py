"""Base mirror: the base comes by way of the lab's own registry."""

import json
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from cephtasks import base_mirror, settings
from cephtasks.engine import Engine
from cephtasks.errors import RegistryUnreachable
from cephtasks.registry import Client
from lab import registries
from lab.engines import tiny_image
from lab.registries import Registry
from lab.terminal import Terminal


@pytest.fixture
def upstream(engine: Engine, tmp_path: Path) -> Iterator[tuple[Registry, str]]:
    """A registry far away, and the path and tag of a base that only it has."""
    with registries.registry(tmp_path / "upstream") as started:
        path = f"far/base-{uuid.uuid4().hex[:12]}:v1"
        name = f"{started.host}/{path}"
        tiny_image(engine, name, files={"unique": uuid.uuid4().bytes})
        subprocess.run(["docker", "push", "--quiet", name], check=True, capture_output=True)
        engine.untag(name)
        yield started, path


@pytest.fixture
def terminal(
    tmp_path: Path, upstream: tuple[Registry, str], registry: str, image_name: str
) -> Iterator[Terminal]:
    """A terminal whose base is the one far away; all its images leave the engine afterwards."""
    far, path = upstream
    made = Terminal(tmp_path / "terminal")
    made.folder.mkdir()
    made.set(
        BASE_IMAGE=f"{far.host}/{path}",
        BASE_ALIAS=f"{image_name}:base",
        IMAGE_NAME=f"{image_name}:packed",
        REGISTRY=registry,
        STATE_DIR=made.folder / "state",
        SHA1_OR_REF="",
    )
    yield made
    for host in (far.host, registry):
        subprocess.run(
            ["docker", "image", "rm", "--force", f"{host}/{path}"], check=False, capture_output=True
        )


def _pulled_by_engines(far: Registry) -> list[str]:
    lines = (far.folder / "log").read_text().splitlines()
    asked = [json.loads(line) for line in lines if '"msg":"response completed' in line]
    return [
        line["http.request.uri"]
        for line in asked
        if line["http.request.useragent"].startswith("docker/") and line["http.request.method"] == "GET"
    ]


def test_the_engine_never_reaches_outside(
    terminal: Terminal, upstream: tuple[Registry, str], registry: str, tmp_path: Path, engine: Engine
) -> None:
    """The base is copied by its own path and tag, pulled from there, and packed onto by its own name."""
    far, path = upstream
    before = _pulled_by_engines(far)
    done = terminal.invoke("fetch-base --mirror")
    assert done.returncode == 0, done.stderr
    assert f"copying {far.host}/{path} to {registry}/{path}" in done.stderr
    assert _pulled_by_engines(far) == before
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").write_text("content")
    packed = terminal.invoke("pack --tree", str(tmp_path / "tree"))
    assert packed.returncode == 0, packed.stderr
    image = engine.require_image(f"{registry}/{path}", "")
    assert engine.require_image(f"{far.host}/{path}", "").id == image.id


def test_a_copy_that_is_there_will_do(
    upstream: tuple[Registry, str], registry: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """With the outside out of reach it is taken as it is, and that is said; without one there is an error."""
    far, path = upstream

    def bring(host: str) -> str:
        given = {"BASE_IMAGE": f"{host}/{path}", "REGISTRY": registry}
        chosen = settings.load(given, environment={}, folder=Path("/nowhere"))
        return base_mirror.bring(chosen, Client, lambda *_: None)

    with pytest.raises(RegistryUnreachable):
        bring("localhost:1")
    assert bring(far.host) == f"{registry}/{path}"
    capfd.readouterr()
    assert bring("localhost:1") == f"{registry}/{path}"
    assert f"the copy in {registry} is taken as it is" in capfd.readouterr().err


def test_a_base_that_is_in_the_registry_is_not_copied(registry: str) -> None:
    """There is nothing to do."""
    given = {"BASE_IMAGE": f"{registry}/base:1", "REGISTRY": registry}
    chosen = settings.load(given, environment={}, folder=Path("/nowhere"))
    assert base_mirror.bring(chosen, Client, lambda *_: None) == f"{registry}/base:1"
