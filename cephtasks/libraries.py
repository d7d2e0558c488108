"""Libraries: read the ELF objects of an image, and the libraries of a build."""

import hashlib
import json
import os
import posixpath
import re
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from cephtasks import console, elf, layer, loader
from cephtasks.elf import Architecture, Object, Symbol
from cephtasks.errors import ElfDamaged, NothingMends
from cephtasks.loader import Loader
from cephtasks.oci import Image, Layer
from cephtasks.store import Store

_CACHE_PATH, _CACHE_SUFFIX = "etc/ld.so.cache", ".cache"
_LIBRARY_NAME = re.compile(r".+\.so(\.[^/]+)?")
_CHUNK = 1 << 20
_QUICK = zipfile.ZIP_DEFLATED, True, 1  # compression, archives of any size, level
_WORTH_TELLING = 64 << 20  # bytes, compressed; less is read in a second
_IN_MEMORY = 64 << 20  # bytes; a program with its debug information is larger, and goes through a file


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


@contextmanager
def loader_of(store: Store, image: Image) -> Iterator[Loader]:
    """The loader of an image in the store; its layers are read through once, and what they hold is kept.

    Raises NothingMends for an architecture that is not known, BlobDamaged, StoreFailed.
    """
    architecture = str(image.config_document.get("architecture"))
    if not loader.knows(architecture):
        fact = f"the libraries of architecture {architecture} are not known"
        raise NothingMends(fact, "docker image inspect IMAGE")
    files = store.files(image)
    variables = (image.config_document.get("config") or {}).get("Env") or ()
    with ExitStack() as opened:
        objects = _Objects([opened.enter_context(_kept(store, item)) for item in image.layers])
        cache = files.get(_CACHE_PATH)
        yield Loader(
            files,
            objects,
            architecture,
            cache=objects.cache(cache.sha256) if cache else {},
            env=dict(variable.split("=", 1) for variable in variables if "=" in variable),
        )


class _Objects(Mapping[str, Object]):
    """The ELF objects of some layers by the sha256 of their files, each decoded when it is asked for."""

    def __init__(self, archives: Sequence[zipfile.ZipFile]) -> None:
        self._archives = {name: archive for archive in archives for name in archive.namelist()}
        self._decoded: dict[str, Object] = {}

    def __getitem__(self, sha256: str) -> Object:
        if sha256 not in self._decoded:
            self._decoded[sha256] = _from_row(json.loads(self._archives[sha256].read(sha256)))
        return self._decoded[sha256]

    def __contains__(self, sha256: object) -> bool:
        return sha256 in self._archives

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._archives if not name.endswith(_CACHE_SUFFIX))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def cache(self, sha256: str) -> dict[str, list[str]]:
        """The paths that a loader's cache with that content gives for each soname."""
        name = f"{sha256}{_CACHE_SUFFIX}"
        return dict(json.loads(self._archives[name].read(name))) if name in self._archives else {}


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


def _kept(store: Store, item: Layer) -> zipfile.ZipFile:
    """What a layer holds for the loader, by sha256: an archive, as little of it is needed at a time."""
    name = item.diff_id.removeprefix("sha256:")

    def write(sink: IO[bytes]) -> None:
        if item.blob.size > _WORTH_TELLING:
            console.say(f"reading the libraries in layer {name[:12]}, once")
        with store.open(item.blob.digest) as blob, zipfile.ZipFile(sink, "w", *_QUICK) as archive:
            for entry, document in _documents(layer.tar_of(item, blob)):
                if entry not in archive.NameToInfo:
                    archive.writestr(entry, json.dumps(document, separators=(",", ":")))

    return zipfile.ZipFile(store.derived(f"{name}.elf.zip", write))


def _documents(layer_tar: IO[bytes]) -> Iterator[tuple[str, Any]]:
    """What is kept of a layer: name and content of each document."""
    with tarfile.open(fileobj=layer_tar, mode="r|", encoding="utf-8", errors="surrogateescape") as tar:
        for member in tar:
            content = tar.extractfile(member) if member.isreg() else None
            if content is None:
                continue
            if posixpath.normpath(f"/{member.name}") == f"/{_CACHE_PATH}":
                raw = content.read()
                yield f"{hashlib.sha256(raw).hexdigest()}{_CACHE_SUFFIX}", loader.read_cache(raw)
                continue
            start = content.read(len(elf.MAGIC))
            if start == elf.MAGIC:
                with tempfile.SpooledTemporaryFile(_IN_MEMORY) as file:
                    sha256 = _spool(start, content, file)
                    found = _undamaged(file, member.name)
                if found is not None:
                    yield sha256, _to_row(found)
    while layer_tar.read(_CHUNK):
        pass  # only at its end is a layer held against its diff id


def _undamaged(file: IO[bytes], name: str) -> Object | None:
    """The object that a file holds; what a loader says of damaged ones, check tells."""
    try:
        return elf.read(file, name)
    except ElfDamaged:
        return None


def _spool(start: bytes, content: IO[bytes], file: IO[bytes]) -> str:
    digest = hashlib.sha256()
    chunk = start
    while chunk:
        digest.update(chunk)
        file.write(chunk)
        chunk = content.read(_CHUNK)
    file.seek(0)
    return digest.hexdigest()


def _to_row(found: Object) -> list[Any]:
    symbols = (sorted(found.defined), sorted(found.undefined), sorted(found.weak))
    needs = {soname: sorted(versions) for soname, versions in found.versions_needed.items()}
    return [
        *(found.architecture, found.soname, found.interpreter, found.needed, found.rpath, found.runpath),
        *(*symbols, sorted(found.versions_defined), needs),
    ]


def _from_row(row: Sequence[Any]) -> Object:
    architecture, soname, interpreter, needed, rpath, runpath, *symbols, versions, needs = row
    defined, undefined, weak = (frozenset(Symbol(*pair) for pair in pairs) for pairs in symbols)
    return Object(
        Architecture(*architecture),
        soname,
        interpreter,
        tuple(needed),
        tuple(rpath),
        tuple(runpath),
        defined,
        undefined,
        weak,
        frozenset(versions),
        {name: frozenset(wanted) for name, wanted in needs.items()},
    )
