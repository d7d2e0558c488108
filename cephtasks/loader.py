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

from cephtasks.elf import Architecture, Object
from cephtasks.tree import Index, Kind, follow

_CACHE_MAGIC = b"glibc-ld.so.cache1.1"
_CACHE_HEADER = struct.Struct("=20sIII16x")
_CACHE_ENTRY = struct.Struct("=iIIIQ")
_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # as engines have it
_ORIGIN = re.compile(r"\$ORIGIN\b|\$\{ORIGIN\}")


class _Target(NamedTuple):
    machine: Architecture
    triplet: str  # of Debian's library folders


# By the word that an image's config has for each, which is Go's GOARCH.
_ARCHITECTURES = {
    "386": _Target(Architecture("EM_386", 32), "i386-linux-gnu"),
    "amd64": _Target(Architecture("EM_X86_64", 64), "x86_64-linux-gnu"),
    "arm": _Target(Architecture("EM_ARM", 32), "arm-linux-gnueabihf"),
    "arm64": _Target(Architecture("EM_AARCH64", 64), "aarch64-linux-gnu"),
    "loong64": _Target(Architecture("EM_LOONGARCH", 64), "loongarch64-linux-gnu"),
    "ppc64le": _Target(Architecture("EM_PPC64", 64), "powerpc64le-linux-gnu"),
    "riscv64": _Target(Architecture("EM_RISCV", 64), "riscv64-linux-gnu"),
    "s390x": _Target(Architecture("EM_S390", 64, little_endian=False), "s390x-linux-gnu"),
}


@dataclass(frozen=True)
class Loader:
    """What an image's loader has to go by.

    `objects` are the ELF files by sha256; `cache` gives for a soname the paths in /etc/ld.so.cache;
    `architecture` and `env` are those of the image's config.
    """

    files: Index
    objects: Mapping[str, Object]
    architecture: str
    cache: Mapping[str, Sequence[str]] = field(default_factory=dict, hash=False)
    env: Mapping[str, str] = field(default_factory=dict, hash=False)

    def find(self, soname: str, run_path: Iterable[str] = ()) -> str | None:
        """The path of the file, without symlinks, that is loaded for a soname; None where there is none.

        `run_path` are the folders that RPATH or RUNPATH name. Files of other architectures are passed
        over, as the loader does; damaged ones are not.
        """
        for path in self._places(soname, run_path):
            entry = follow(path, self.files)
            if entry is not None and entry.kind in (Kind.FILE, Kind.HARDLINK):
                found = self.object_at(entry.path)
                if found is None or found.architecture == self.machine:
                    return entry.path
        return None

    def object_at(self, path: str) -> Object | None:
        """The ELF object that a path leads to, or None."""
        entry = follow(path, self.files)
        if entry is not None and entry.kind is Kind.HARDLINK:
            entry = follow(entry.target, self.files)
        return None if entry is None else self.objects.get(entry.sha256)

    def walk(self, path: str) -> dict[str, str]:
        """For a program or library: the path of each soname that it comes to need, nearest first."""
        inherited = self._run_path(path, "rpath")
        paths: dict[str, str] = {}
        pending = [path]
        for user in pending:
            wanting = self.object_at(user)
            run_path = (*self._run_path(user, "rpath"), *inherited, *self._run_path(user, "runpath"))
            for soname in wanting.needed if wanting else ():
                found = None if soname in paths else self.find(soname, run_path)
                if found is not None:
                    paths[soname] = found
                    pending.append(found)
        return paths

    def program(self, name: str) -> str | None:
        """The path of the program that starts under a name; None where there is none."""
        folders = self.env.get("PATH", _DEFAULT_PATH).split(":")
        paths = [name] if "/" in name else [f"{folder}/{name}" for folder in folders if folder]
        found = (follow(path, self.files) for path in paths)
        return next((entry.path for entry in found if entry and entry.kind is not Kind.FOLDER), None)

    @property
    def machine(self) -> Architecture:
        """What every object in a process of this image is made for."""
        return _ARCHITECTURES[self.architecture].machine

    @cached_property
    def folders(self) -> tuple[str, ...]:
        """The folders where this loader looks last, and untold: its distribution built it so."""
        triplet = _ARCHITECTURES[self.architecture].triplet
        if any(path.startswith(("lib/ld-musl-", "usr/lib/ld-musl-")) for path in self.files):
            return "lib", "usr/local/lib", "usr/lib"
        if self._has_folder(f"lib/{triplet}") or self._has_folder(f"usr/lib/{triplet}"):
            return f"lib/{triplet}", f"usr/lib/{triplet}", "lib", "usr/lib"
        if self._has_folder("usr/lib64"):
            return "lib64", "usr/lib64"
        return "lib", "usr/lib"

    @property
    def home(self) -> str:
        """The folder for a library that the image does not have yet."""
        return next(folder for folder in self.folders if folder.startswith("usr/lib"))

    def _places(self, soname: str, run_path: Iterable[str]) -> Iterator[str]:
        if "/" in soname:
            yield soname
            return
        for folder in (*run_path, *self.env.get("LD_LIBRARY_PATH", "").split(":")):
            if folder:
                yield f"{folder}/{soname}"
        yield from self.cache.get(soname, ())
        for folder in self.folders:
            yield f"{folder}/{soname}"

    def _run_path(self, path: str, tag: str) -> tuple[str, ...]:
        """The folders that an object's RPATH or RUNPATH names; the loader takes no RPATH beside a RUNPATH."""
        named = self.object_at(path)
        if named is None or (tag == "rpath" and named.runpath):
            return ()
        origin = "/" + path.rpartition("/")[0]
        folders: tuple[str, ...] = getattr(named, tag)
        return tuple(_ORIGIN.sub(origin, folder) for folder in folders)

    def _has_folder(self, path: str) -> bool:
        entry = follow(path, self.files)
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
