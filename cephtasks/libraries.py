"""Libraries: read the shared libraries of a build."""

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cephtasks import console, elf
from cephtasks.elf import Object
from cephtasks.errors import ElfDamaged

_LIBRARY_NAME = re.compile(r".+\.so(\.[^/]+)?")


@dataclass(frozen=True)
class Candidate:
    """A library of the build: its file on this host, the names that lead to it, and what it holds."""

    path: Path
    names: tuple[str, ...]
    object: Object

    @property
    def soname(self) -> str:
        """What programs know the library by; its file name where it has none."""
        return self.object.soname or self.path.name


def candidates(folders: Iterable[Path]) -> tuple[Candidate, ...]:
    """The shared libraries in some folders, those of the first folder first, each file once.

    Of damaged and unreadable ones it warns.
    """
    names: dict[Path, list[str]] = {}
    for path in (path for folder in folders for path in _library_files(folder)):
        names.setdefault(path.resolve(), []).append(path.name)
    found = ((path, _read(path)) for path in names)
    return tuple(Candidate(path, tuple(names[path]), read) for path, read in found if read is not None)


def _library_files(folder: Path) -> Iterator[Path]:
    """The files and links below a folder that are named as libraries are."""
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            if _LIBRARY_NAME.fullmatch(name):
                yield Path(parent, name)


def _read(path: Path) -> Object | None:
    try:
        return elf.read(path)
    except FileNotFoundError:
        return None  # a link that leads nowhere
    except OSError as error:
        console.warn(f"{path} cannot be read: {error.strerror}")
    except ElfDamaged as error:
        console.warn(error.fact)
    return None
