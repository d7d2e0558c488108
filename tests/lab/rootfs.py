"""Root file systems: what an image's loader finds in a folder that is laid out as an image."""

import hashlib
import platform
from collections.abc import Mapping
from pathlib import Path

from cephtasks import elf
from cephtasks.folder import index_folder
from cephtasks.loader import Loader

ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
TRIPLET = f"{platform.machine()}-linux-gnu"


def loader_in(
    root: Path, cache: Mapping[str, list[str]] | None = None, env: Mapping[str, str] | None = None
) -> Loader:
    """The loader of an image with the files of a folder."""
    files = {path for path in root.rglob("*") if path.is_file() and not path.is_symlink()}
    objects = {hashlib.sha256(path.read_bytes()).hexdigest(): elf.read(path) for path in files}
    known = {sha256: found for sha256, found in objects.items() if found is not None}
    return Loader(index_folder(root), known, ARCHITECTURE, cache or {}, env or {})
