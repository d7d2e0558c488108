"""Builders: what `builder.list` shows of a real engine."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cephtasks.builder_image import FOLDER_LABEL
from cephtasks.engine import Engine
from lab.engines import tiny_image
from lab.terminal import ROOT, Terminal


@pytest.fixture
def labelled(engine: Engine) -> Iterator[str]:
    """An image that says of itself that it is a builder's."""
    name = f"cephtasks-test/list-{os.getpid()}:el"
    tiny_image(engine, name, f"LABEL {FOLDER_LABEL}=el")
    yield name
    engine.untag(name)


def test_builder_images_and_folders_are_listed(tmp_path: Path, labelled: str, tiny: str) -> None:
    """Images that carry the label, the one in use marked, and the folders that images can be made from."""
    terminal = Terminal(tmp_path)
    terminal.set(BUILDER_IMAGE=labelled)
    document = json.loads(terminal.invoke("builder.list --json").stdout)
    (image,) = [each for each in document["images"] if each["name"] == labelled]
    assert image["folder"] == "el"
    assert tiny not in [each["name"] for each in document["images"]]
    folders = {each["name"]: each["base"] for each in document["folders"]}
    assert set(folders) == {each.name for each in (ROOT / "builders").iterdir() if each.is_dir()}
    assert folders["debian"] == "debian:bookworm-slim"

    lines = [line.split() for line in terminal.invoke("builder.list").stdout.splitlines()]
    assert [
        labelled,
        "el",
        *lines[[line[:1] for line in lines].index([labelled])][2:4],
        "BUILDER_IMAGE",
    ] in lines
    assert ["debian", "debian:bookworm-slim"] in lines
