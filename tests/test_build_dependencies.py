"""Build dependencies, installed in containers of our builder image, from this machine's Debian archive."""

import subprocess
from pathlib import Path

import pytest

from cephtasks import build_dependencies
from cephtasks.builder import OUR_BUILDER
from cephtasks.builder_image import FOLDER_LABEL
from cephtasks.engine import Engine
from cephtasks.errors import DependenciesFailed, DependenciesUnknown
from lab.engines import tiny_image

_CONTROL = """Source: small
Maintainer: Nobody <nobody@example.com>
Build-Depends: liblz4-dev (>= 1) | not-there, not-there [hurd-any]

Package: small
Architecture: any
Description: something small
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A builder's folder that adds nothing to our builder image."""
    folder = tmp_path / "small"
    folder.mkdir()
    (folder / "Dockerfile").write_text(f"ARG BASE={OUR_BUILDER}\nFROM ${{BASE}}\n")
    for part in ("packages.txt", "build-cmake"):
        (folder / part).touch()
    return folder


@pytest.fixture
def small_recipe(engine: Engine, recipe: Path, image_name: str) -> Path:
    """One that adds nothing to an image with a shell and no package manager at all."""
    links = {"bin/cp": "busybox", "bin/rm": "busybox"}
    shell = {"bin/bash": b'#!/bin/sh\nexec sh "$@"\n'}
    tiny_image(engine, f"{image_name}:base", "WORKDIR /ceph", "ENV PATH=/bin", files=shell, links=links)
    (recipe / "Dockerfile").write_text(f"ARG BASE={image_name}:base\nFROM ${{BASE}}\n")
    return recipe


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A source tree with a debian/control."""
    folder = tmp_path / "source"
    (folder / "debian").mkdir(parents=True)
    (folder / "debian" / "control").write_text(_CONTROL)
    (folder / "debian" / "changelog").write_text(
        "small (1) unstable; urgency=low\n\n  * Small.\n\n"
        " -- Nobody <nobody@example.com>  Mon, 06 May 2024 07:08:09 +0200\n"
    )
    return folder


def inside(image: str, *words: str) -> str:
    """What a command prints in a container, or empty where it fails."""
    command = ["docker", "run", "--rm", "--network=none", image, *words]
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout.strip()


def names(engine: Engine, repository: str) -> set[str]:
    """The tags of a repository in the engine."""
    tags = (tag for image in engine.images() for tag in image.tags)
    return {tag.rpartition(":")[2] for tag in tags if tag.startswith(f"{repository}:")}


def test_the_packages_of_debian_control_are_installed(
    engine: Engine, recipe: Path, source: Path, image_name: str
) -> None:
    """By apt's own reading of it; the image stays a builder with one name, and the tree is not touched."""
    before = sorted(source.rglob("*"))
    name = f"{image_name}:with"
    assert build_dependencies.make(name, recipe, source, engine) == name
    assert (
        inside(name, "dpkg-query", "--show", "--showformat=${Status}", "liblz4-dev") == "install ok installed"
    )
    assert inside(name, "ls", "/tmp") == ""
    found = engine.require_image(name, "")
    assert found.labels[FOLDER_LABEL] == "small"
    config = subprocess.run(
        ["docker", "inspect", "--format={{json .Config.Cmd}}{{.Config.WorkingDir}}", name],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert config.stdout.strip() == '["build-cmake"]/ceph'
    assert names(engine, image_name) == {"with"}
    assert sorted(source.rglob("*")) == before


def test_a_trees_own_script_goes_first(
    engine: Engine, small_recipe: Path, source: Path, image_name: str
) -> None:
    """install-deps.sh runs as root in a copy of the tree, without git and build."""
    (source / "install-deps.sh").write_text("ls -a > /found\nid -u >> /found\ntouch written\n")
    for left_out in (".git", "build"):
        (source / left_out).mkdir()
    name = f"{image_name}:with"
    build_dependencies.make(name, small_recipe, source, engine)
    assert inside(name, "cat", "/found").split() == [".", "..", "debian", "install-deps.sh", "0"]
    assert not (source / "written").exists()


def test_a_failure_leaves_the_name_with_its_image(
    engine: Engine, small_recipe: Path, source: Path, image_name: str
) -> None:
    """What could not be installed is told by what apt or the script said; nothing half gets the name."""
    name = f"{image_name}:with"
    before = tiny_image(engine, name, f"LABEL unique={image_name}")
    (source / "install-deps.sh").write_text("exit 3\n")
    with pytest.raises(DependenciesFailed, match="exit code 3"):
        build_dependencies.make(name, small_recipe, source, engine)
    assert engine.require_image(name, "").id == before
    assert names(engine, image_name) == {"base", "with"}


def test_packages_of_another_kind_are_told(
    engine: Engine, small_recipe: Path, source: Path, image_name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """A debian/control alone is nothing for an image without apt."""
    with pytest.raises(DependenciesFailed):
        build_dependencies.make(f"{image_name}:with", small_recipe, source, engine)
    assert "nothing in the tree is for the packages of this image\n" in capfd.readouterr().err


def test_a_tree_that_asks_for_nothing_is_refused(engine: Engine, recipe: Path, tmp_path: Path) -> None:
    """It is a wrong argument, found before anything is made."""
    with pytest.raises(DependenciesUnknown) as raised:
        build_dependencies.make("cephtasks-test/never:made", recipe, recipe, engine)
    assert raised.value.exit_code == 2
    assert engine.image("cephtasks-test/never:made-plain") is None
