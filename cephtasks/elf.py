"""ELF: read what the dynamic loader looks at in a program or a shared library.

Formats: System V ABI (gabi), chapters 4 and 5; LSB Core, "Symbol Versioning".
"""

import itertools
import os
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, Any, NamedTuple

from elftools.common.exceptions import ELFError
from elftools.construct.core import ConstructError
from elftools.elf.elffile import ELFFile

from cephtasks.errors import ElfDamaged

MAGIC = b"\x7fELF"
_LOADABLE = ("ET_EXEC", "ET_DYN")
_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_SHT_DYNSYM = 11
_DT_NULL, _DT_NEEDED, _DT_STRTAB, _DT_SYMTAB, _DT_STRSZ, _DT_SONAME = 0, 1, 5, 6, 10, 14
_DT_RPATH, _DT_RUNPATH = 15, 29
_DT_VERSYM, _DT_VERDEF, _DT_VERNEED = 0x6FFFFFF0, 0x6FFFFFFC, 0x6FFFFFFE
_STB_LOCAL, _STB_WEAK = 0, 2
_SHN_UNDEF = 0
_VER_NDX_LOCAL, _VER_NDX_GLOBAL = 0, 1  # every other index is a version
_VER_NDX_MASK = 0x7FFF  # the bit above hides a version from new programs, not from old ones
_VER_FLG_BASE, _VER_FLG_WEAK = 1, 2  # the definition that names the file itself; a need that may go unmet
_MOST_BYTES = 1 << 28  # of one table: Ceph's largest has 2 MB, a damaged header claims anything


class Architecture(NamedTuple):
    """What must be equal for two objects in one process: machine (`EM_X86_64`), class, byte order."""

    machine: str
    bits: int
    little_endian: bool = True


class Symbol(NamedTuple):
    """A dynamic symbol; `version` is empty where it has none."""

    name: str
    version: str = ""


@dataclass(frozen=True)
class Object:
    """A program or a shared library as the loader sees it.

    `needed` are sonames. The process ends without the `undefined` symbols, and runs without the `weak`
    ones. `versions_needed` maps a soname to the versions that the library of that name must define.
    """

    architecture: Architecture
    soname: str = ""
    interpreter: str = ""
    needed: tuple[str, ...] = ()
    rpath: tuple[str, ...] = ()
    runpath: tuple[str, ...] = ()
    defined: frozenset[Symbol] = frozenset()
    undefined: frozenset[Symbol] = frozenset()
    weak: frozenset[Symbol] = frozenset()
    versions_defined: frozenset[str] = frozenset()
    versions_needed: Mapping[str, frozenset[str]] = field(default_factory=dict, hash=False)

    def defines(self, symbol: Symbol) -> bool:
        """Whether a reference to the symbol binds here; one without a version takes any version."""
        return symbol in self.defined or (not symbol.version and symbol.name in self._names)

    @cached_property
    def _names(self) -> frozenset[str]:
        return frozenset(symbol.name for symbol in self.defined)


def read(source: Path | IO[bytes], name: str = "") -> Object | None:
    """Read a file, or a seekable stream that an error calls `name`.

    None for what no loader loads: linker scripts and other text, static archives, relocatable
    objects. Raises ElfDamaged for what begins as ELF and then ends too soon or contradicts itself.
    """
    if not isinstance(source, Path):
        return _read(source, name)
    with source.open("rb") as stream:
        return _read(stream, name or str(source))


def _read(stream: IO[bytes], name: str) -> Object | None:
    if stream.read(len(MAGIC)) != MAGIC:
        return None
    try:
        file = _File(stream)
        return file.read_object() if file.is_loadable else None
    # The last three are what offsets out of a damaged header come to.
    except (ELFError, ConstructError, struct.error, ValueError, OverflowError) as error:
        raise ElfDamaged(f"{name} is a damaged ELF file: {error}", f"readelf --all {name}") from error


class _Segment(NamedTuple):
    type: int
    offset: int
    address: int
    size: int


class _File:
    """An open ELF file: its header read by pyelftools, its tables unpacked whole.

    pyelftools makes an object of each symbol; that takes a quarter of a second for libceph-common.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        elf = ELFFile(stream)
        self._stream = stream
        self._header: Mapping[str, Any] = elf.header
        self._is_64 = elf.elfclass == 64
        self._order = "<" if elf.little_endian else ">"
        self._architecture = Architecture(str(self._header["e_machine"]), elf.elfclass, elf.little_endian)
        self._segments = tuple(self._read_segments())
        self._strings = b""

    @property
    def is_loadable(self) -> bool:
        return self._header["e_type"] in _LOADABLE

    def read_object(self) -> Object:
        self._require_whole()
        tags = tuple(self._tags())
        first = dict(reversed(tags))
        if _DT_STRTAB in first:
            self._strings = self._bytes(self._offset(first[_DT_STRTAB]), first.get(_DT_STRSZ, 0))
        needs = tuple(self._version_needs(first[_DT_VERNEED])) if _DT_VERNEED in first else ()
        definitions = dict(self._version_definitions(first[_DT_VERDEF])) if _DT_VERDEF in first else {}
        versions = {index: version for index, _, version, _ in needs} | definitions
        defined, undefined, weakly = self._symbols(first, versions)
        return Object(
            self._architecture,
            soname=self._string(first[_DT_SONAME]) if _DT_SONAME in first else "",
            interpreter=self._interpreter(),
            needed=tuple(self._string(value) for tag, value in tags if tag == _DT_NEEDED),
            rpath=self._folders(first.get(_DT_RPATH)),
            runpath=self._folders(first.get(_DT_RUNPATH)),
            defined=defined,
            undefined=undefined,
            weak=weakly - undefined,
            versions_defined=frozenset(definitions.values()),
            versions_needed=_grouped((file, version) for _, file, version, weak in needs if not weak),
        )

    def _read_segments(self) -> Iterator[_Segment]:
        raw = self._bytes(self._header["e_phoff"], self._header["e_phnum"] * self._header["e_phentsize"])
        for row in struct.iter_unpack(f"{self._order}{'IIQQQQQQ' if self._is_64 else 'IIIIIIII'}", raw):
            if self._is_64:
                yield _Segment(row[0], row[2], row[3], row[5])
            else:
                yield _Segment(row[0], row[1], row[2], row[4])

    def _require_whole(self) -> None:
        """A copy that was cut off has good tables; the process that loads it dies of SIGBUS."""
        length = self._stream.seek(0, os.SEEK_END)
        end = max((item.offset + item.size for item in self._segments if item.type == _PT_LOAD), default=0)
        if end > length:
            raise ValueError(f"it ends after {length} of {end} bytes")

    def _tags(self) -> Iterator[tuple[int, int]]:
        raw = self._segment(_PT_DYNAMIC)
        for tag, value in struct.iter_unpack(f"{self._order}{'qQ' if self._is_64 else 'iI'}", raw):
            if tag == _DT_NULL:
                return
            yield tag, value

    def _interpreter(self) -> str:
        return self._segment(_PT_INTERP).rstrip(b"\0").decode(errors="backslashreplace")

    def _folders(self, value: int | None) -> tuple[str, ...]:
        return () if value is None else tuple(folder for folder in self._string(value).split(":") if folder)

    def _symbols(
        self, first: Mapping[int, int], versions: Mapping[int, str]
    ) -> tuple[frozenset[Symbol], frozenset[Symbol], frozenset[Symbol]]:
        """The symbols defined here, those wanted from elsewhere, and those wanted weakly."""
        if _DT_SYMTAB not in first:
            return frozenset(), frozenset(), frozenset()
        defined: set[Symbol] = set()
        undefined: set[Symbol] = set()
        weak: set[Symbol] = set()
        rows = self._symbol_rows(first)
        indexes: Iterable[int] = itertools.repeat(_VER_NDX_GLOBAL)
        if _DT_VERSYM in first:
            raw = self._bytes(self._offset(first[_DT_VERSYM]), 2 * len(rows))
            indexes = struct.unpack(f"{self._order}{len(rows)}H", raw)
        for (name, binding, section), index in zip(rows, indexes, strict=False):
            if not name or binding == _STB_LOCAL:
                continue
            symbol = Symbol(self._string(name), versions.get(index & _VER_NDX_MASK, ""))
            if section == _SHN_UNDEF:
                (weak if binding == _STB_WEAK else undefined).add(symbol)
            # Linkers give each version a symbol of its own name, which nobody refers to.
            elif index & _VER_NDX_MASK != _VER_NDX_LOCAL and symbol.name != symbol.version:
                defined.add(symbol)
        return frozenset(defined), frozenset(undefined), frozenset(weak)

    def _symbol_rows(self, first: Mapping[int, int]) -> list[tuple[int, int, int]]:
        """Name, binding and section index of each dynamic symbol."""
        size = self._symbol_table_size()
        if size is None:  # no section headers; linkers put the strings right behind the symbols
            size = max(0, first.get(_DT_STRTAB, 0) - first[_DT_SYMTAB])
        layout = struct.Struct(f"{self._order}{'IBBHQQ' if self._is_64 else 'IIIBBH'}")
        raw = self._bytes(self._offset(first[_DT_SYMTAB]), size // layout.size * layout.size)
        if self._is_64:
            return [(name, kind >> 4, section) for name, kind, _, section, _, _ in layout.iter_unpack(raw)]
        return [(name, kind >> 4, section) for name, _, _, kind, _, section in layout.iter_unpack(raw)]

    def _symbol_table_size(self) -> int | None:
        start, count = self._header["e_shoff"], self._header["e_shnum"]
        if not start or not count:
            return None
        raw = self._bytes(start, count * self._header["e_shentsize"])
        layout = f"{self._order}{'IIQQQQIIQQ' if self._is_64 else 'IIIIIIIIII'}"
        return next((row[5] for row in struct.iter_unpack(layout, raw) if row[1] == _SHT_DYNSYM), None)

    def _version_needs(self, address: int) -> Iterator[tuple[int, str, str, bool]]:
        """Index, soname and name of each version wanted from another library, and whether weakly."""
        offset = self._offset(address)
        while True:
            _, count, file, inner, step = self._unpack("HHIII", offset)
            inner += offset
            for _ in range(count):
                _, flags, index, name, inner_step = self._unpack("IHHII", inner)
                weak = bool(flags & _VER_FLG_WEAK)
                yield index & _VER_NDX_MASK, self._string(file), self._string(name), weak
                inner += inner_step
            if not step:
                return
            offset += step

    def _version_definitions(self, address: int) -> Iterator[tuple[int, str]]:
        """Index and name of each version that is defined here."""
        offset = self._offset(address)
        while True:
            _, flags, index, _, _, inner, step = self._unpack("HHHHIII", offset)
            if not flags & _VER_FLG_BASE:
                name, _ = self._unpack("II", offset + inner)
                yield index & _VER_NDX_MASK, self._string(name)
            if not step:
                return
            offset += step

    def _segment(self, kind: int) -> bytes:
        found = next((item for item in self._segments if item.type == kind), None)
        return b"" if found is None else self._bytes(found.offset, found.size)

    def _offset(self, address: int) -> int:
        """Where in the file the bytes lie that are loaded to an address."""
        for item in self._segments:
            if item.type == _PT_LOAD and item.address <= address < item.address + item.size:
                return address - item.address + item.offset
        raise ValueError(f"nothing is loaded at address {address:#x}")

    def _string(self, offset: int) -> str:
        end = self._strings.index(b"\0", offset)
        return self._strings[offset:end].decode(errors="backslashreplace")

    def _unpack(self, layout: str, offset: int) -> tuple[Any, ...]:
        layout = f"{self._order}{layout}"
        return struct.unpack(layout, self._bytes(offset, struct.calcsize(layout)))

    def _bytes(self, offset: int, size: int) -> bytes:
        if size > _MOST_BYTES:
            raise ValueError(f"a table of {size} bytes")
        self._stream.seek(offset)
        raw = self._stream.read(size)
        if len(raw) != size:
            raise ValueError(f"it ends within {size} bytes at {offset}")
        return raw


def _grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, frozenset[str]]:
    groups: dict[str, set[str]] = {}
    for key, value in pairs:
        groups.setdefault(key, set()).add(value)
    return {key: frozenset(values) for key, values in groups.items()}
