"""Loader: find the file that an image's dynamic loader takes for a soname.

Order: ld.so(8), musl's ldso/dynlink.c. Cache: glibc, sysdeps/generic/dl-cache.h.
"""

import os
import re
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from cephtasks.elf import Object
from cephtasks.elf_file import Architecture
from cephtasks.tree import Entry, Index, Kind, follow

_CACHE_MAGIC = b"glibc-ld.so.cache1.1"
_CACHE_HEADER = struct.Struct("=20sIII16x")
_CACHE_ENTRY = struct.Struct("=iIIIQ")
_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # as engines have it
_OF_LOADERS = ("lib64", "lib", "lib32", "libx32")
_TOKEN = re.compile(r"\$(ORIGIN|LIB|PLATFORM)\b|\$\{(ORIGIN|LIB|PLATFORM)\}")


class _Target(NamedTuple):
    machine: Architecture
    triplet: str  # of Debian's library folders
    variants: tuple[str, ...] = ()  # below glibc-hwcaps, newest first (sysdeps/*/dl-hwcaps_subdirs.c)


_X86_LEVELS = ("x86-64-v4", "x86-64-v3", "x86-64-v2")

# By the word that an image's config has for each, which is Go's GOARCH.
_ARCHITECTURES = {
    "386": _Target(Architecture("EM_386", 32), "i386-linux-gnu"),
    "amd64": _Target(Architecture("EM_X86_64", 64), "x86_64-linux-gnu", _X86_LEVELS),
    "arm": _Target(Architecture("EM_ARM", 32), "arm-linux-gnueabihf"),
    "arm64": _Target(Architecture("EM_AARCH64", 64), "aarch64-linux-gnu"),
    "loong64": _Target(Architecture("EM_LOONGARCH", 64), "loongarch64-linux-gnu"),
    "ppc64le": _Target(Architecture("EM_PPC64", 64), "powerpc64le-linux-gnu", ("power10", "power9")),
    "riscv64": _Target(Architecture("EM_RISCV", 64), "riscv64-linux-gnu"),
    "s390x": _Target(
        Architecture("EM_S390", 64, little_endian=False), "s390x-linux-gnu", ("z16", "z15", "z14", "z13")
    ),
}


class Link(NamedTuple):
    """A soname that an object needs: who, what, and the path of the file that the loader takes, if any.

    `foreign` is a file of that name that was passed over, as it is made for another architecture.
    """

    user: str
    soname: str
    path: str | None
    foreign: str = ""


class _Found(NamedTuple):
    path: str | None
    foreign: str = ""


@dataclass(frozen=True)
class Loader:
    """What an image's loader has to go by.

    `objects` are the ELF files by sha256; `cache` gives for a soname the paths in /etc/ld.so.cache;
    `preload` are the libraries that /etc/ld.so.preload names; `architecture` and `env` are those of the
    image's config.
    """

    files: Index
    objects: Mapping[str, Object]
    architecture: str
    cache: Mapping[str, Sequence[str]] = field(default_factory=dict, hash=False)
    env: Mapping[str, str] = field(default_factory=dict, hash=False)
    preload: tuple[str, ...] = ()
    _entries: dict[str, Entry | None] = field(default_factory=dict, init=False, compare=False, repr=False)
    _links: dict[str, tuple[Link, ...]] = field(default_factory=dict, init=False, compare=False, repr=False)

    def find(self, soname: str, rpath: Iterable[str] = (), runpath: Iterable[str] = ()) -> str | None:
        """The path of the file, without symlinks, that is loaded for a soname; None where there is none.

        `rpath` and `runpath` are the folders that an object names, which are looked into before and after
        those of LD_LIBRARY_PATH. Files of other architectures are passed over, as the loader does;
        damaged ones are not.
        """
        return self._search(soname, rpath, runpath).path

    def object_at(self, path: str) -> Object | None:
        """The ELF object that a path leads to, or None."""
        entry = self.entry(path)
        if entry is not None and entry.kind is Kind.HARDLINK:
            entry = self.entry(entry.target)
        return None if entry is None else self.objects.get(entry.sha256)

    def entry(self, path: str) -> Entry | None:
        """The entry that a path leads to, or None."""
        if path not in self._entries:
            self._entries[path] = follow(path, self.files)
        return self._entries[path]

    def links(self, path: str) -> tuple[Link, ...]:
        """What a program or library comes to load, in the loader's order; a link for each soname."""
        if path not in self._links:
            self._links[path] = tuple(self._walk(path))
        return self._links[path]

    def walk(self, path: str) -> dict[str, str]:
        """For a program or library: the path of each soname that it comes to need, nearest first."""
        return {link.soname: link.path for link in self.links(path) if link.path is not None}

    def run_path(self, path: str, tag: str) -> tuple[str, ...]:
        """The folders that an object's `rpath` or `runpath` names; no RPATH counts beside a RUNPATH."""
        named = self.object_at(path)
        if named is None or (tag == "rpath" and named.runpath):
            return ()
        folders: tuple[str, ...] = getattr(named, tag)
        if not any("$" in folder for folder in folders):
            return folders
        triplet = _ARCHITECTURES[self.architecture].triplet
        first = self.folders[0]
        words = {
            "ORIGIN": "/" + path.rpartition("/")[0],
            "LIB": f"lib/{triplet}" if first.endswith(triplet) else first.rpartition("/")[2],
            "PLATFORM": triplet.partition("-")[0],
        }
        return tuple(_TOKEN.sub(lambda found: words[found[1] or found[2]], folder) for folder in folders)

    def program(self, name: str) -> str | None:
        """The path of the program that starts under a name; None where there is none."""
        paths = [name] if "/" in name else [f"{folder}/{name}" for folder in self._path]
        found = map(self.entry, paths)
        return next((entry.path for entry in found if entry and entry.kind is not Kind.FOLDER), None)

    @cached_property
    def commands(self) -> frozenset[str]:
        """The folders, without symlinks, whose programs and scripts start by their names."""
        there = map(self.entry, self._path)
        return frozenset(entry.path for entry in there if entry and entry.kind is Kind.FOLDER)

    @property
    def machine(self) -> Architecture:
        """What every object in a process of this image is made for."""
        return _ARCHITECTURES[self.architecture].machine

    @cached_property
    def folders(self) -> tuple[str, ...]:
        """The folders where this loader looks last, and untold: its distribution built it so."""
        triplet = _ARCHITECTURES[self.architecture].triplet
        if self.is_musl:
            return "lib", "usr/local/lib", "usr/lib"
        if self._has_folder(f"lib/{triplet}") or self._has_folder(f"usr/lib/{triplet}"):
            return f"lib/{triplet}", f"usr/lib/{triplet}", "lib", "usr/lib"
        if self._has_folder("usr/lib64"):
            return "lib64", "usr/lib64"
        return "lib", "usr/lib"

    @cached_property
    def is_musl(self) -> bool:
        """Whether the image has musl, which knows no versions of symbols."""
        return any(path.startswith(("lib/ld-musl-", "usr/lib/ld-musl-")) for path in self.files)

    @property
    def home(self) -> str:
        """The folder for a library that the image does not have yet."""
        return next(folder for folder in self.folders if folder.startswith("usr/lib"))

    def _walk(self, path: str) -> Iterator[Link]:
        known: set[str] = set()
        loaded: dict[str, str] = {}  # an object is known by its own soname too, however it was asked for
        rpaths = {path: self.run_path(path, "rpath")}
        pending = [path]

        def link(user: str, soname: str) -> Link:
            wanting = self.object_at(user)
            rpath = () if wanting and wanting.runpath else rpaths[user]
            found = self._search(soname, rpath, self.run_path(user, "runpath"))
            at = loaded.get(soname, found.path)
            if at is not None and at not in rpaths:
                there = self.object_at(at)
                loaded[there.soname if there else ""] = at
                rpaths[at] = (*self.run_path(at, "rpath"), *rpaths[user])
                pending.append(at)
            known.add(soname)
            return Link(user, soname, at, found.foreign)

        started = self.object_at(path)
        if started is not None and started.is_program:
            preloads = [link(path, soname) for soname in self._preloads]
            yield from (each for each in preloads if each.path)  # the loader goes on without the others
        for user in pending:
            wanting = self.object_at(user)
            for soname in wanting.needed if wanting else ():
                if soname not in known:
                    yield link(user, soname)

    @property
    def _path(self) -> list[str]:
        return [folder for folder in self.env.get("PATH", _DEFAULT_PATH).split(":") if folder]

    @property
    def _preloads(self) -> tuple[str, ...]:
        named = self.env.get("LD_PRELOAD", "").replace(":", " ").split()
        return tuple(dict.fromkeys((*named, *self.preload)))

    def _search(self, soname: str, rpath: Iterable[str], runpath: Iterable[str]) -> _Found:
        foreign = ""
        for path in self._places(soname, rpath, runpath):
            entry = self.entry(path)
            if entry is not None and entry.kind in (Kind.FILE, Kind.HARDLINK):
                found = self.object_at(entry.path)
                if found is None or found.architecture == self.machine:
                    return _Found(entry.path, foreign)
                foreign = foreign or entry.path
        return _Found(None, foreign)

    def _places(self, soname: str, rpath: Iterable[str], runpath: Iterable[str]) -> Iterator[str]:
        if "/" in soname:
            yield soname
            return
        variants = _ARCHITECTURES[self.architecture].variants
        named = (*rpath, *self.env.get("LD_LIBRARY_PATH", "").split(":"), *runpath)
        for folder in filter(None, named):
            yield f"{folder}/{soname}"
            yield from (f"{folder}/glibc-hwcaps/{variant}/{soname}" for variant in variants)
        yield from self.cache.get(soname, ())
        for folder in self.folders:
            yield f"{folder}/{soname}"
        # Which of these a processor takes is not known here; where there is a plain copy, that counts.
        for folder in self.folders:
            yield from (f"{folder}/glibc-hwcaps/{variant}/{soname}" for variant in variants)
        if soname.startswith("ld"):  # the loader itself is there already, wherever programs have it from
            yield from (f"{folder}/{soname}" for folder in _OF_LOADERS)

    def _has_folder(self, path: str) -> bool:
        entry = self.entry(path)
        return entry is not None and entry.kind is Kind.FOLDER


def knows(architecture: str) -> bool:
    """Whether images of an architecture, as their config names it, can be looked into."""
    return architecture in _ARCHITECTURES


def read_cache(raw: bytes) -> dict[str, list[str]]:
    """The paths that /etc/ld.so.cache gives for each soname, in its order; nothing for other formats."""
    start = raw.find(_CACHE_MAGIC)  # older glibc puts its former format before it
    if start < 0:
        return {}
    raw = raw[start:]
    paths: dict[str, list[str]] = {}
    try:
        _, count, *_ = _CACHE_HEADER.unpack_from(raw)
        for index in range(count):
            offset = _CACHE_HEADER.size + index * _CACHE_ENTRY.size
            _, key, value, _, capabilities = _CACHE_ENTRY.unpack_from(raw, offset)
            if not capabilities:  # of copies for newer processors, which is taken is not known here
                paths.setdefault(_text_at(raw, key), []).append(_text_at(raw, value))
    except (struct.error, ValueError):
        return {}  # damaged: the loader looks into its folders then, and so do we
    return paths


def _text_at(raw: bytes, offset: int) -> str:
    return os.fsdecode(raw[offset : raw.index(b"\0", offset)])
