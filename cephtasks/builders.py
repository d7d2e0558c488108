"""Builders: list the builder images of an engine, and the folders that they can be made from."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cephtasks.builder_image import FOLDER_LABEL, base_of
from cephtasks.engine import Engine
from cephtasks.errors import BuilderFolderInvalid


@dataclass(frozen=True)
class BuilderImage:
    """A builder image: one of its names, the folder that it was made from, its size in bytes unpacked."""

    name: str
    folder: str
    size: int
    id: str


@dataclass(frozen=True)
class BuilderFolder:
    """A folder in builders/, and the image that its Dockerfile starts from."""

    name: str
    base: str


@dataclass(frozen=True)
class Builders:
    """What there is to compile with, and what can be made."""

    images: tuple[BuilderImage, ...]
    folders: tuple[BuilderFolder, ...]

    def document(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return asdict(self)


def find(folder: Path, engine: Engine) -> Builders:
    """The images that carry our label, by name, and the folders that are whole. Raises EngineRefused."""
    images = [
        BuilderImage(name, image.labels[FOLDER_LABEL], image.size, image.id)
        for image in engine.images()
        if FOLDER_LABEL in image.labels
        for name in image.tags
    ]
    return Builders(tuple(sorted(images, key=lambda image: image.name)), tuple(_folders(folder)))


def _folders(folder: Path) -> list[BuilderFolder]:
    found = []
    for each in sorted(folder.iterdir()) if folder.is_dir() else ():
        try:
            found.append(BuilderFolder(each.name, base_of(each)))
        except BuilderFolderInvalid:
            continue  # something else that lies there
    return found
