"""Contents: read the programs, libraries and scripts of images, once a layer."""

import hashlib
import json
import posixpath
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeVar

from cephtasks import console, elf, layer, loader, scripts
from cephtasks.elf import Object, Symbol
from cephtasks.elf_file import MAGIC, Architecture
from cephtasks.errors import ElfDamaged, NothingMends
from cephtasks.loader import Loader
from cephtasks.oci import Image, Layer
from cephtasks.scripts import Script
from cephtasks.store import Store
from cephtasks.tree import Index, Kind

_CACHE_PATH, _PRELOAD_PATH = "etc/ld.so.cache", "etc/ld.so.preload"
_CACHE, _PRELOAD, _SCRIPT = ".cache", ".preload", ".script"  # what follows a file's sha256 where it is no ELF
_READ_AS = "contents-1"  # to be counted up when more is read of a layer, or in another way
_CHUNK = 1 << 20
_QUICK = zipfile.ZIP_DEFLATED, True, 1  # compression, archives of any size, level
_WORTH_TELLING = 64 << 20  # bytes, compressed; less is read in a second
_IN_MEMORY = 64 << 20  # bytes; a program with its debug information is larger, and goes through a file


Made = TypeVar("Made")


class Needs(NamedTuple):
    """The part of an Object that says what it is called and needs; it is read in no time."""

    soname: str
    needed: tuple[str, ...]


@dataclass(frozen=True)
class Contents:
    """What is in an image, for its loader and the kernel to start, by the sha256 of the files."""

    loader: Loader
    needs: Mapping[str, Needs] = field(hash=False)
    scripts: Mapping[str, Script] = field(hash=False)


@contextmanager
def contents_of(
    store: Store, image: Image, tree: Mapping[str, Path] | None = None, files: Index | None = None
) -> Iterator[Contents]:
    """The contents of an image in the store; its layers are read through once, and what they hold is kept.

    With a tree, of `files` instead, which are the image's with some of this host over them, by their
    sha256. Raises NothingMends for an architecture that is not known, BlobDamaged, StoreFailed.
    """
    architecture = str(image.config_document.get("architecture"))
    if not loader.knows(architecture):
        fact = f"the libraries of architecture {architecture} are not known"
        raise NothingMends(fact, "docker image inspect IMAGE")
    files = store.files(image) if files is None else files
    variables = (image.config_document.get("config") or {}).get("Env") or ()
    with ExitStack() as opened:
        documents = _Documents(
            [opened.enter_context(_kept(store, item)) for item in image.layers], tree or {}
        )
        found = Loader(
            files,
            _View(documents, "", _object),
            architecture,
            cache=documents.get(f"{_sha256(files, _CACHE_PATH)}{_CACHE}") or {},
            env=dict(variable.split("=", 1) for variable in variables if "=" in variable),
            preload=tuple(documents.get(f"{_sha256(files, _PRELOAD_PATH)}{_PRELOAD}") or ()),
        )
        yield Contents(found, _View(documents, "", _needs), _View(documents, _SCRIPT, _script))


class _Documents:
    """What is kept of some layers, and what is read of the files of a tree, by name."""

    def __init__(self, archives: Sequence[zipfile.ZipFile], tree: Mapping[str, Path]) -> None:
        self._archives = {name: archive for archive in archives for name in archive.namelist()}
        self._tree = dict(self._read_tree(tree))
        self.names = frozenset([*self._archives, *self._tree])

    def get(self, name: str) -> Any:
        """A document, or None."""
        if name in self._tree:
            return self._tree[name]
        return json.loads(self._archives[name].read(name)) if name in self._archives else None

    def _read_tree(self, tree: Mapping[str, Path]) -> Iterator[tuple[str, Any]]:
        for sha256, path in tree.items():
            if not {sha256, f"{sha256}{_SCRIPT}"} & self._archives.keys():
                with path.open("rb") as content:
                    yield from _document("", path.stat().st_mode, content, sha256)


class _View(Mapping[str, Made]):
    """Documents of one kind by the sha256 of their files, each decoded when it is asked for."""

    def __init__(self, documents: _Documents, suffix: str, decode: Callable[[Any], Made]) -> None:
        self._documents, self._suffix, self._decode = documents, suffix, decode
        self._decoded: dict[str, Made] = {}

    def __getitem__(self, sha256: str) -> Made:
        if sha256 not in self._decoded:
            if sha256 not in self:
                raise KeyError(sha256)
            self._decoded[sha256] = self._decode(self._documents.get(f"{sha256}{self._suffix}"))
        return self._decoded[sha256]

    def __contains__(self, sha256: object) -> bool:
        return f"{sha256}{self._suffix}" in self._documents.names

    def __iter__(self) -> Iterator[str]:
        names = (name.partition(".") for name in self._documents.names)
        return (sha256 for sha256, dot, kind in names if f"{dot}{kind}" == self._suffix)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _sha256(files: Index, path: str) -> str:
    entry = files.get(path)
    return entry.sha256 if entry is not None and entry.kind is Kind.FILE else ""


def _kept(store: Store, item: Layer) -> zipfile.ZipFile:
    """What a layer holds for the loader and the kernel: an archive, as little of it is needed at a time."""
    name = item.diff_id.removeprefix("sha256:")

    def write(sink: IO[bytes]) -> None:
        if item.blob.size > _WORTH_TELLING:
            console.say(f"reading the programs and libraries in layer {name[:12]}, once")
        with store.open(item.blob.digest) as blob, zipfile.ZipFile(sink, "w", *_QUICK) as archive:
            for entry, document in _documents(layer.tar_of(item, blob)):
                if entry not in archive.NameToInfo:
                    archive.writestr(entry, json.dumps(document, separators=(",", ":")))

    return zipfile.ZipFile(store.derived(f"{name}.{_READ_AS}.zip", write))


def _documents(layer_tar: IO[bytes]) -> Iterator[tuple[str, Any]]:
    """What is kept of a layer: name and content of each document."""
    with tarfile.open(fileobj=layer_tar, mode="r|", encoding="utf-8", errors="surrogateescape") as tar:
        for member in tar:
            content = tar.extractfile(member) if member.isreg() else None
            if content is not None:
                path = posixpath.normpath(f"/{member.name}").lstrip("/")
                yield from _document(path, member.mode, content)
    while layer_tar.read(_CHUNK):
        pass  # only at its end is a layer held against its diff id


def _document(path: str, mode: int, content: IO[bytes], sha256: str = "") -> Iterator[tuple[str, Any]]:
    """What is kept of a file, under a name that begins with its sha256."""
    if path in (_CACHE_PATH, _PRELOAD_PATH):
        raw = content.read()
        name = hashlib.sha256(raw).hexdigest()
        if path == _CACHE_PATH:
            yield f"{name}{_CACHE}", loader.read_cache(raw)
        else:
            yield f"{name}{_PRELOAD}", raw.decode(errors="surrogateescape").replace(":", " ").split()
        return
    start = content.read(len(MAGIC))
    if start == MAGIC:
        with tempfile.SpooledTemporaryFile(_IN_MEMORY) as file:
            name = _spool(start, content, file)
            found = _undamaged(file, path)
        if found is not None:
            yield name, _row(found)
    elif start.startswith(scripts.START) and mode & 0o111:
        raw = start + content.read(scripts.MOST_BYTES)
        script = scripts.read(raw)
        if script is not None and len(raw) <= scripts.MOST_BYTES:
            yield f"{hashlib.sha256(raw).hexdigest()}{_SCRIPT}", [script.words, script.modules]


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


def _row(found: Object) -> list[Any]:
    groups = (found.defined, found.undefined, found.weak, found.copied)
    needs = {soname: sorted(versions) for soname, versions in found.versions_needed.items()}
    return [
        *(found.architecture, found.soname, found.interpreter, found.needed, found.rpath, found.runpath),
        *(sorted(found.versions_defined), needs, found.ceph_version, *map(_grouped, groups)),
    ]


def _needs(row: Sequence[Any]) -> Needs:
    return Needs(row[1], tuple(row[3]))


def _object(row: Sequence[Any]) -> Object:
    architecture, soname, interpreter, needed, rpath, runpath, versions, needs, ceph_version, *groups = row
    defined, undefined, weak, copied = map(_symbols, groups)
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
        copied,
        ceph_version,
    )


def _grouped(symbols: frozenset[Symbol]) -> dict[str, str]:
    """Symbols as texts by version: a hundred thousand pairs would take a second to read."""
    names: dict[str, list[str]] = {}
    for symbol in sorted(symbols):
        names.setdefault(symbol.version, []).append(symbol.name)
    return {version: "\n".join(group) for version, group in names.items()}


def _symbols(groups: Mapping[str, str]) -> frozenset[Symbol]:
    pairs = (zip(names.split("\n"), repeat(version)) for version, names in groups.items())
    return frozenset(symbol for group in pairs for symbol in map(Symbol._make, group))


def _script(row: Sequence[Sequence[str]]) -> Script:
    words, modules = row
    return Script(tuple(words), tuple(modules))
