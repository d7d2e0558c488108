"""Doctor: what the daily line needs is looked for, and nothing is changed."""

import json
from pathlib import Path

import pytest

from cephtasks.engine import Engine
from lab import registries
from lab.engines import tiny_image
from lab.repositories import repository
from lab.terminal import Terminal

_NOBODY = "localhost:1"  # a port that needs root to listen at, and has had no service for decades


@pytest.fixture
def terminal(tmp_path: Path, engine: Engine, image_name: str) -> Terminal:
    """A terminal with a source, a base and a builder, and no registry."""
    tiny_image(engine, f"{image_name}:base")
    tiny_image(engine, f"{image_name}:builder", "ENV PATH=/bin", files={"bin/build-cmake": b"#!/bin/sh\n"})
    made = Terminal(tmp_path)
    made.set(
        SOURCE_DIR=repository(tmp_path / "ceph"),
        STATE_DIR=tmp_path / "state",
        BASE_IMAGE=f"{image_name}:base",
        BUILDER_IMAGE=f"{image_name}:builder",
        REGISTRY=_NOBODY,
    )
    return made


def test_all_is_there(terminal: Terminal, tmp_path: Path) -> None:
    """Every part is named with what was found, in the order of the daily line; nothing is made."""
    (tmp_path / "ceph/new").write_text("")
    with registries.registry(tmp_path / "registry") as started:
        done = terminal.invoke(f"doctor --registry {started.host}")
    assert (done.returncode, done.stderr) == (0, "")
    rows = [line.split()[:2] for line in done.stdout.splitlines()]
    parts = ("state", "source", "engine", "builder", "base", "registry")
    assert rows == [["part", "state"], *([part, "ok"] for part in parts)]
    assert f"http://{started.host}" in done.stdout
    assert not (tmp_path / "state").exists()


def test_each_thing_that_lacks_is_told_with_the_way_to_get_it(terminal: Terminal, image_name: str) -> None:
    """All of them at once; the line that fails names them, and its hint is the first one's."""
    done = terminal.invoke(f"doctor --json --builder-image {image_name}:none --base-image {image_name}:no")
    assert done.returncode == 1
    parts = {part["name"]: part for part in json.loads(done.stdout)}
    assert {name for name, part in parts.items() if part["well"] is False} == {"builder", "base", "registry"}
    assert parts["builder"]["hint"] == f"docker pull {image_name}:none"
    assert parts["base"]["hint"] == "invoke fetch-base"
    assert parts["registry"]["hint"] == "invoke registry.up"
    assert done.stderr == f"error: not ready: builder, base, registry\nhint: docker pull {image_name}:none\n"


def test_nodes_are_asked_where_there_are_any(terminal: Terminal, engine: Engine, tmp_path: Path) -> None:
    """Those that do not answer are named."""
    (tmp_path / "nodes").write_text(f"unix://{engine.socket}\n")
    well = json.loads(terminal.invoke(f"doctor --json --nodes @{tmp_path}/nodes").stdout)[-1]
    assert (well["name"], well["well"], well["found"]) == (
        "nodes",
        True,
        f"1 engine, version {engine.version}",
    )
    (tmp_path / "nodes").write_text(f"unix://{engine.socket} unix://{tmp_path}/none.sock\n")
    lacking = json.loads(terminal.invoke(f"doctor --json --nodes @{tmp_path}/nodes").stdout)[-1]
    assert lacking["well"] is False
    assert lacking["found"] == f"1 of 2 nodes failed: unix://{tmp_path}/none.sock"
    assert lacking["hint"] == "invoke nodes.status"


def test_without_an_engine_the_rest_is_looked_at(terminal: Terminal, tmp_path: Path) -> None:
    """What only the engine could tell is neither well nor not."""
    done = terminal.invoke("doctor --json", DOCKER_HOST=f"unix://{tmp_path}/none.sock")
    assert done.returncode == 1
    assert {part["name"]: part["well"] for part in json.loads(done.stdout)} == {
        "state": True,
        "source": True,
        "engine": False,
        "builder": None,
        "base": None,
        "registry": False,
    }


def test_a_state_dir_that_cannot_be(terminal: Terminal, tmp_path: Path) -> None:
    """A file stands in the way."""
    (tmp_path / "file").write_text("")
    done = terminal.invoke(f"doctor --json --state-dir {tmp_path}/file/state")
    (state,) = (part for part in json.loads(done.stdout) if part["name"] == "state")
    assert state["well"] is False
    assert state["found"] == "file/state cannot be written: Not a directory"


def test_a_source_that_is_to_be_cloned(terminal: Terminal, tmp_path: Path) -> None:
    """A tree that is not there yet is no fault."""
    done = terminal.invoke(f"doctor --json --source-dir {tmp_path}/none")
    (source,) = (part for part in json.loads(done.stdout) if part["name"] == "source")
    assert source == {
        "name": "source",
        "well": True,
        "found": "none is not there; compile clones it",
        "hint": "",
    }
