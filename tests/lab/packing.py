"""Packing: a terminal, an install tree of one program for a tiny base, and names that are nobody else's."""

import uuid
from dataclasses import dataclass
from pathlib import Path

from lab.terminal import Terminal

PROGRAM = "usr/bin/ceph-osd"


@dataclass(frozen=True)
class Packing:
    """What `pack` is typed with, and how its image is called in the engine and in the registry."""

    terminal: Terminal
    tree: Path
    name: str
    target: str

    @property
    def words(self) -> tuple[str, ...]:
        """What packs the tree."""
        return ("pack", "--tree", str(self.tree))

    def edit(self, text: str) -> None:
        """Change what the program says."""
        program = self.tree / PROGRAM
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(f"#!/bin/sh\necho {text}\n")
        program.chmod(0o755)


def packing(folder: Path, base: str, image_name: str, registry: str) -> Packing:
    """Settings and a tree in a folder, for images of `image_name` and a repository of its own."""
    repository = f"packing/{uuid.uuid4().hex[:12]}"
    made = Packing(Terminal(folder), folder / "tree", f"{image_name}:packed", f"{registry}/{repository}:wip")
    made.terminal.set(
        BASE_IMAGE=base,
        IMAGE_NAME=made.name,
        REGISTRY=registry,
        REPOSITORY=repository,
        TAG="wip",
        CHECK_TOOLS="ceph-osd",
        STATE_DIR=folder / "state",
    )
    made.edit(image_name)
    return made
