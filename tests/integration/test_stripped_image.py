"""A stripped image, and on top of it the one with its debug information, as an engine has them."""

import subprocess
from dataclasses import replace
from pathlib import Path

import docker
import pytest

from cephtasks import pack, settings
from cephtasks.builder import OUR_BUILDER
from cephtasks.engine import Engine
from cephtasks.pack import Packed
from cephtasks.store import Store
from cephtasks.stripping import debug_name, debug_tag, strip
from lab.places import places
from lab.programs import compiled

PROGRAM = '#include <stdio.h>\nint main(void) { puts("VERSION"); return 0; }\n'


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """An install tree of two static programs with debug information."""
    for name in ("ceph-mon", "ceph-osd"):
        compiled(tmp_path / "tree/usr/bin" / name, PROGRAM.replace("VERSION", name), "-g", "-static")
    return tmp_path / "tree"


class Lab:
    """Packs a tree twice: stripped on the base, and its debug information on that."""

    def __init__(self, engine: Engine, base: str, name: str, state: Path) -> None:
        flags = {"BASE_IMAGE": base, "IMAGE_NAME": name, "STATE_DIR": str(state), "REGISTRY": "localhost:1"}
        self._settings = settings.load(flags, environment={})
        self._engine = engine
        self._places = places(engine, Store(state / "images"))

    def pack(self, tree: Path) -> tuple[Packed, Packed]:
        """The image, and the one with the debug information."""
        chosen = self._settings
        stripped = strip(tree, self._engine, OUR_BUILDER, chosen.state_dir / "stripped")
        assert stripped.debug is not None
        image = pack.pack(chosen, self._places, stripped.tree, None)
        on_top = replace(
            chosen,
            base_image=chosen.image_name,
            image_name=debug_name(chosen.image_name),
            tag=debug_tag(chosen.tag),
        )
        return image, pack.pack(on_top, self._places, stripped.debug, None)


@pytest.fixture
def lab(engine: Engine, tiny: str, image_name: str, tmp_path: Path) -> Lab:
    """A store of this test's own."""
    return Lab(engine, tiny, f"{image_name}:wip", tmp_path / "state")


def in_image(name: str, script: str) -> str:
    """What a script prints in a container."""
    command = ["docker", "run", "--rm", "--network=none", "--entrypoint=sh", name, "-c", script]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def layers(name: str) -> list[str]:
    """The diff ids of an image in the engine."""
    client = docker.from_env()
    try:
        return list(client.images.get(name).attrs["RootFS"]["Layers"])
    finally:
        client.close()


def test_debug_information_is_in_layers_on_top(lab: Lab, tree: Path) -> None:
    """The image runs without it; the second one is the same image, and more."""
    image, debug = lab.pack(tree)
    assert debug.name == f"{image.name}-debug"
    assert layers(debug.name)[: len(layers(image.name))] == layers(image.name)
    assert in_image(image.name, "ceph-osd; ls /usr/lib/debug 2>/dev/null || true") == "ceph-osd\n"
    assert in_image(debug.name, "ceph-osd; ls -d /usr/lib/debug/.build-id/*/*").count(".debug\n") == 2


def test_an_edit_appends_what_it_changed_to_both(lab: Lab, tree: Path) -> None:
    """One program in one layer, and the second image follows the first."""
    lab.pack(tree)
    compiled(tree / "usr/bin/ceph-osd", PROGRAM.replace("VERSION", "edited"), "-g", "-static")
    image, debug = lab.pack(tree)
    assert len(image.written) == 1
    assert layers(debug.name)[: len(layers(image.name))] == layers(image.name)
    assert in_image(debug.name, "ceph-mon; ceph-osd") == "ceph-mon\nedited\n"
    assert in_image(debug.name, "ls -d /usr/lib/debug/.build-id/*/*").count(".debug\n") == 2
