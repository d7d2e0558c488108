"""Stripping: split the debug information off an install tree."""

import hashlib
import os
import shlex
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cephtasks import console, debug_sections, index_cache
from cephtasks.debug_sections import Debuggable
from cephtasks.engine import Engine
from cephtasks.errors import StateUnwritable, TreeChanged
from cephtasks.mirror import mirror
from cephtasks.reference import parse
from cephtasks.splitting import RECIPE, OnProgress, Part, Stamp, split, stamp_of
from cephtasks.tree import Entry, Index, Kind
from cephtasks.turns import turn

DEBUG_FOLDER = "usr/lib/debug"  # where gdb looks (GDB manual, "Separate Debug Files")
_SUFFIX = "-debug"
_LONGEST_TAG = 128

_Found = Mapping[str, tuple[Debuggable, Stamp]]


@dataclass(frozen=True)
class Stripped:
    """A tree without debug information, and a tree of that information alone, or None where there is none.

    `files` were in need of it, of which `made` were not known from before; `split_off` bytes less are in
    the tree.
    """

    tree: Path
    debug: Path | None = None
    files: int = 0
    made: int = 0
    split_off: int = 0


def debug_tag(tag: str) -> str:
    """The tag of the image with the debug information; one of the greatest length loses its end."""
    return f"{tag[: _LONGEST_TAG - len(_SUFFIX)]}{_SUFFIX}"


def debug_name(reference: str) -> str:
    """The name of the image with the debug information. Raises ReferenceInvalid."""
    tag = parse(reference).tag or ""
    return f"{reference.removesuffix(f':{tag}')}:{debug_tag(tag)}"


def strip(
    tree: Path,
    engine: Engine,
    builder_image: str,
    cache: Path,
    on_progress: OnProgress = lambda _what, _done, _total: None,
) -> Stripped:
    """Make of an install tree one without debug information, and one with nothing else.

    Both lie in `cache`, a folder for this tree alone, until the next call. The tree stays as it is: what
    needs no stripping is a hard link to its file. A file that was stripped before is not stripped again;
    where none is to be stripped no container runs; where none could be, the tree itself is returned.
    Raises TreeInvalid, TreeChanged, ImageNotFound, StripFailed, StateUnwritable, ContainerFailed.
    """
    found: dict[str, tuple[Debuggable, Stamp]] = {}

    def needs_stripping(path: str) -> bool:
        debuggable = None if path.startswith(f"{DEBUG_FOLDER}/") else _debuggable(tree / path)
        if debuggable:
            found[path] = debuggable, stamp_of(tree / path)
        return debuggable is not None

    index = index_cache.index_folder(tree, cache / "hashes.jsonl", needs_stripping)
    if engine.dry:
        console.say(f"would strip {len(found)} files of {tree}" if found else f"nothing to strip in {tree}")
        return Stripped(tree, files=len(found))
    if not found:
        _forget(cache)
        return Stripped(tree)
    parts = _parts(found, index)
    with _owned(cache):
        kept = cache / "files"
        missing = [part for part in parts if not (kept / part.key).exists()]
        if missing:
            split(missing, tree, engine, builder_image, kept, on_progress)
        _lay_out(tree, index, parts, found, cache)
        split_off = sum(part.size - (kept / part.key).stat().st_size for part in parts)
    return Stripped(cache / "tree", cache / "debug", len(parts), len(missing), split_off)


def _debuggable(path: Path) -> Debuggable | None:
    try:
        return debug_sections.find(path)
    except OSError as error:
        fact = f"{path} cannot be read: {error.strerror}"
        raise TreeChanged(fact, f"ls -l {shlex.quote(str(path))}") from error


def _parts(found: _Found, index: Index) -> Sequence[Part]:
    """Keys are by content, so that a file that moved is known; files that were two do not become one."""
    seen: Counter[tuple[str, int, str]] = Counter()
    parts = []
    for path, (debuggable, stamp) in sorted(found.items()):
        entry = index[path]
        linked_name = "" if debuggable.build_id else f"{path.rpartition('/')[2]}.debug"
        alike = entry.sha256, entry.mode, linked_name
        text = "/".join(map(str, (RECIPE, *alike, seen[alike])))
        seen[alike] += 1
        key = hashlib.sha256(os.fsencode(text)).hexdigest()
        parts.append(Part(path, key, entry.size, entry.mode, stamp, linked_name))
    return parts


def _lay_out(tree: Path, index: Index, parts: Sequence[Part], found: _Found, cache: Path) -> None:
    """Make both trees what they are to be, and drop what nothing in them uses any longer."""
    kept, beside = cache / "files", cache / "new"
    stripped = {part.path: kept / part.key for part in parts}
    debug: dict[str, Path] = {}
    for part in parts:
        debug.setdefault(_debug_path(part.path, found[part.path][0].build_id), kept / f"{part.key}.debug")
    beside.mkdir()
    mirror(cache / "tree", index, {**{path: tree / path for path in index}, **stripped}, beside)
    mirror(cache / "debug", _index_of(debug), debug, beside)
    shutil.rmtree(beside)
    used = {name for part in parts for name in (part.key, f"{part.key}.debug")}
    for leftover in kept.iterdir():
        if leftover.name not in used:
            leftover.unlink()


def _debug_path(path: str, build_id: str) -> str:
    named = f".build-id/{build_id[:2]}/{build_id[2:]}" if build_id else path
    return f"{DEBUG_FOLDER}/{named}.debug"


def _index_of(files: Mapping[str, Path]) -> dict[str, Entry]:
    """An index of files and the folders that hold them."""
    folders = {str(folder) for path in files for folder in PurePosixPath(path).parents} - {"."}
    return {
        **{path: Entry(path, Kind.FOLDER) for path in folders},
        **{path: Entry(path, Kind.FILE, 0o644) for path in files},
    }


def _forget(cache: Path) -> None:
    """Without debug information nothing that was kept is of use."""
    if (cache / "files").exists():
        with _owned(cache):
            for name in ("files", "tree", "debug"):
                shutil.rmtree(cache / name, ignore_errors=True)


@contextmanager
def _owned(cache: Path) -> Iterator[None]:
    """Nobody else writes to the folder while this lasts. Raises StateUnwritable."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with turn(cache / "lock", f"writes to {cache}"):
            # What is left here is of a run that was killed.
            shutil.rmtree(cache / "new", ignore_errors=True)
            yield
    except OSError as error:
        fact = f"{error.filename or cache} cannot be read or written: {error.strerror}"
        raise StateUnwritable(fact, f"ls -ld {shlex.quote(str(cache))}") from error
