"""Leftovers: what no image needs any more goes when it is asked for, and nothing else."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import docker
import pytest

from cephtasks import leftovers, pack, settings
from cephtasks.engine import Engine
from cephtasks.leftovers import Leftovers
from cephtasks.settings import Settings
from cephtasks.store import Store
from lab.engines import tiny_image
from lab.places import places
from lab.terminal import Terminal


@pytest.fixture
def chosen(engine: Engine, image_name: str, tmp_path: Path) -> Settings:
    """Settings for an image on a base, with a store of their own."""
    tiny_image(engine, f"{image_name}:base")
    flags = {
        "BASE_IMAGE": f"{image_name}:base",
        "IMAGE_NAME": f"{image_name}:packed",
        "STATE_DIR": str(tmp_path / "state"),
        "REGISTRY": "localhost:1",
    }
    return settings.load(flags, environment={})


@pytest.fixture
def store(chosen: Settings) -> Store:
    """The store of these settings."""
    return Store(chosen.state_dir / "images")


@pytest.fixture
def _twice(chosen: Settings, engine: Engine, store: Store, tmp_path: Path) -> Iterator[None]:
    """An image that was packed, and packed anew from other files, on another base."""
    tree = tmp_path / "tree"
    (tree / "usr").mkdir(parents=True)
    for base, content in ((chosen.base_image, "old"), (chosen.base_image.replace(":base", ":other"), "new")):
        tiny_image(engine, base, f"LABEL base={base}")
        (tree / "usr" / content).write_text(content)
        pack.pack(replace(chosen, base_image=base), places(engine, store), tree, None).arrive()
    yield


def _files(chosen: Settings) -> set[Path]:
    return {path for path in (chosen.state_dir / "images").rglob("*") if path.is_file()}


def _age(chosen: Settings) -> None:
    """Have everything in the store be two hours old."""
    for path in _files(chosen):
        then = path.stat().st_mtime - 7200
        os.utime(path, (then, then))


def _of_this_test(found: Leftovers, engine: Engine, name: str) -> Leftovers:
    """Without the images of others in this machine's engine."""
    labels = {image: engine.require_image(image, "").labels for image in found.images}
    return replace(
        found, images=tuple(image for image, told in labels.items() if told.get("base", "").startswith(name))
    )


@pytest.mark.usefixtures("_twice")
def test_what_a_later_pack_replaced_goes(
    chosen: Settings, engine: Engine, store: Store, image_name: str
) -> None:
    """The image of before, its layers and its base are gone; the last one stays whole."""
    _age(chosen)
    before, image = _files(chosen), store.require_image(chosen.image_name)
    found = _of_this_test(leftovers.find(store, engine), engine, image_name)
    assert len(found.images) == len(found.bases) == 1
    assert found.bytes == sum(path.stat().st_size for path in found.files) > 0
    assert _files(chosen) == before

    assert leftovers.remove(found, store, engine) == []
    assert _files(chosen) == before - set(found.files)
    assert engine.image(found.images[0]) is None
    assert store.require_image(chosen.image_name) == image
    assert store.files(image)["usr/new"]
    for item in image.layers:
        store.open(item.blob.digest).close()
    again = leftovers.find(store, engine)
    assert (again.bases, again.files) == ((), ())


@pytest.mark.usefixtures("_twice")
def test_what_is_new_stays(engine: Engine, store: Store) -> None:
    """Somebody may just be putting an image together."""
    found = leftovers.find(store, engine)
    assert (found.bases, found.files, found.bytes) == ((), (), 0)


@pytest.mark.usefixtures("_twice")
def test_an_image_that_a_container_uses_stays(
    chosen: Settings, engine: Engine, store: Store, image_name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """It is told, and the rest goes."""
    found = _of_this_test(leftovers.find(store, engine), engine, image_name)
    (image,) = found.images
    client = docker.from_env()
    try:
        container = client.containers.create(image, "true")
        try:
            assert leftovers.remove(found, store, engine) == [image]
        finally:
            container.remove(force=True)
    finally:
        client.close()
    assert engine.image(image) is not None
    assert "warning: docker image rm" in capfd.readouterr().err


@pytest.mark.usefixtures("_twice")
def test_nothing_goes_unasked(chosen: Settings, engine: Engine, store: Store, tmp_path: Path) -> None:
    """`invoke prune` shows it, and says how it would go."""
    _age(chosen)
    before = _files(chosen)
    terminal = Terminal(tmp_path)
    terminal.set(STATE_DIR=chosen.state_dir)
    done = terminal.invoke("prune")
    assert done.returncode == 0
    count = len(leftovers.find(store, engine).files)
    assert done.stdout.startswith(f"left of earlier images: {count} files of STATE_DIR with ")
    assert done.stderr == "nothing is removed without --yes\n"
    assert _files(chosen) == before
