"""ELF files: read the headers and tables that the dynamic loader goes by, as they lie in a file.

Formats: System V ABI (gabi), chapters 4 and 5; LSB Core, "Symbol Versioning".
"""

import os
import struct
from collections.abc import Iterator, Mapping
from typing import IO, Any, NamedTuple

from elftools.elf.elffile import ELFFile

MAGIC = b"\x7fELF"
PT_LOAD, PT_DYNAMIC, PT_INTERP = 1, 2, 3
_LOADABLE = ("ET_EXEC", "ET_DYN")
_SHT_DYNSYM = 11
_DT_NULL, _DT_STRTAB, _DT_SYMTAB, _DT_STRSZ = 0, 5, 6, 10
_DT_RELA, _DT_RELASZ, _DT_REL, _DT_RELSZ = 7, 8, 17, 18
_DT_VERSYM, _DT_VERDEF, _DT_VERNEED = 0x6FFFFFF0, 0x6FFFFFFC, 0x6FFFFFFE
_VER_NDX_GLOBAL = 1
_VER_NDX_MASK = 0x7FFF  # the bit above hides a version from new programs, not from old ones
_VER_FLG_BASE, _VER_FLG_WEAK = 1, 2  # the definition that names the file itself; a need that may go unmet
_MOST_BYTES = 1 << 28  # of one table: Ceph's largest has 2 MB, a damaged header claims anything


class Architecture(NamedTuple):
    """What must be equal for two objects in one process: machine (`EM_X86_64`), class, byte order."""

    machine: str
    bits: int
    little_endian: bool = True


class SymbolRow(NamedTuple):
    """A row of the dynamic symbol table; `version` is an index among the versions."""

    name: str
    binding: int
    section: int
    address: int
    version: int


class VersionNeed(NamedTuple):
    """A version wanted from a library, by the number that symbols have for it; it may be wanted weakly."""

    number: int
    soname: str
    version: str
    weak: bool


class _Segment(NamedTuple):
    type: int
    offset: int
    address: int
    size: int


class ElfFile:
    """An open ELF file: its header read by pyelftools, its tables unpacked whole.

    pyelftools makes an object of each symbol; that takes a quarter of a second for libceph-common. What
    contradicts itself raises ValueError, OverflowError, or what struct and pyelftools raise.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        elf = ELFFile(stream)
        self._stream = stream
        self._header: Mapping[str, Any] = elf.header
        self._is_64 = elf.elfclass == 64
        self._order = "<" if elf.little_endian else ">"
        self.architecture = Architecture(str(self._header["e_machine"]), elf.elfclass, elf.little_endian)
        self._segments = tuple(self._read_segments())
        self.tags = tuple(self._read_tags())
        self._first = dict(reversed(self.tags))
        self._strings = b""
        if _DT_STRTAB in self._first:
            self._strings = self.bytes_at(self._first[_DT_STRTAB], self._first.get(_DT_STRSZ, 0))

    @property
    def is_loadable(self) -> bool:
        """Whether a loader loads it: a program or a shared library."""
        return self._header["e_type"] in _LOADABLE

    def require_whole(self) -> None:
        """A copy that was cut off has good tables; the process that loads it dies of SIGBUS."""
        length = self._stream.seek(0, os.SEEK_END)
        end = max((item.offset + item.size for item in self._segments if item.type == PT_LOAD), default=0)
        if end > length:
            raise ValueError(f"it ends after {length} of {end} bytes")

    def tag(self, tag: int) -> int | None:
        """The value of the first dynamic tag of a kind."""
        return self._first.get(tag)

    def string(self, offset: int) -> str:
        """A text of the dynamic string table."""
        end = self._strings.index(b"\0", offset)
        return self._strings[offset:end].decode(errors="backslashreplace")

    def segment(self, kind: int) -> bytes:
        """What the first segment of a kind holds; empty where there is none."""
        found = next((item for item in self._segments if item.type == kind), None)
        return b"" if found is None else self._bytes(found.offset, found.size)

    def bytes_at(self, address: int, size: int) -> bytes:
        """What is loaded to an address."""
        return self._bytes(self._offset(address), size)

    def bytes_from(self, address: int, most: int) -> bytes:
        """What is loaded from an address on, or less of it where the file or its segment ends."""
        offset, left = self._place(address)
        return self._bytes(offset, min(most, left))

    def symbols(self) -> list[SymbolRow]:
        """The dynamic symbols; the first has no name, as the format has it."""
        start = self._first.get(_DT_SYMTAB)
        if start is None:
            return []
        size = self._symbol_table_size()
        if size is None:  # no section headers; linkers put the strings right behind the symbols
            size = max(0, self._first.get(_DT_STRTAB, 0) - start)
        layout = struct.Struct(f"{self._order}{'IBBHQQ' if self._is_64 else 'IIIBBH'}")
        raw = self.bytes_at(start, size // layout.size * layout.size)
        rows = list(layout.iter_unpack(raw))
        versions: tuple[int, ...] = (_VER_NDX_GLOBAL,) * len(rows)
        if _DT_VERSYM in self._first:
            raw = self.bytes_at(self._first[_DT_VERSYM], 2 * len(rows))
            versions = struct.unpack(f"{self._order}{len(rows)}H", raw)
        if self._is_64:
            fields = ((name, kind, section, address) for name, kind, _, section, address, _ in rows)
        else:
            fields = ((name, kind, section, address) for name, address, _, kind, _, section in rows)
        return [
            SymbolRow(self.string(name) if name else "", kind >> 4, section, address, version & _VER_NDX_MASK)
            for (name, kind, section, address), version in zip(fields, versions, strict=True)
        ]

    def relocated(self, kind: int) -> Iterator[int]:
        """The indexes of the symbols that relocations of one kind refer to."""
        for start, length, has_addend in ((_DT_RELA, _DT_RELASZ, True), (_DT_REL, _DT_RELSZ, False)):
            if self._first.get(length):
                word = "Q" if self._is_64 else "I"
                layout = struct.Struct(f"{self._order}{word * (3 if has_addend else 2)}")
                size = self._first[length] // layout.size * layout.size
                shift, mask = (32, 0xFFFFFFFF) if self._is_64 else (8, 0xFF)
                for _, what, *_ in layout.iter_unpack(self.bytes_at(self._first[start], size)):
                    if what & mask == kind:
                        yield what >> shift

    def version_needs(self) -> Iterator[VersionNeed]:
        """The versions wanted from other libraries."""
        if _DT_VERNEED not in self._first:
            return
        offset = self._offset(self._first[_DT_VERNEED])
        while True:
            _, count, file, inner, step = self._unpack("HHIII", offset)
            inner += offset
            for _ in range(count):
                _, flags, index, name, inner_step = self._unpack("IHHII", inner)
                weak = bool(flags & _VER_FLG_WEAK)
                yield VersionNeed(index & _VER_NDX_MASK, self.string(file), self.string(name), weak)
                inner += inner_step
            if not step:
                return
            offset += step

    def version_definitions(self) -> Iterator[tuple[int, str]]:
        """Index and name of each version that is defined here."""
        if _DT_VERDEF not in self._first:
            return
        offset = self._offset(self._first[_DT_VERDEF])
        while True:
            _, flags, index, _, _, inner, step = self._unpack("HHHHIII", offset)
            if not flags & _VER_FLG_BASE:
                name, _ = self._unpack("II", offset + inner)
                yield index & _VER_NDX_MASK, self.string(name)
            if not step:
                return
            offset += step

    def _read_segments(self) -> Iterator[_Segment]:
        raw = self._bytes(self._header["e_phoff"], self._header["e_phnum"] * self._header["e_phentsize"])
        for row in struct.iter_unpack(f"{self._order}{'IIQQQQQQ' if self._is_64 else 'IIIIIIII'}", raw):
            if self._is_64:
                yield _Segment(row[0], row[2], row[3], row[5])
            else:
                yield _Segment(row[0], row[1], row[2], row[4])

    def _read_tags(self) -> Iterator[tuple[int, int]]:
        raw = self.segment(PT_DYNAMIC)
        for tag, value in struct.iter_unpack(f"{self._order}{'qQ' if self._is_64 else 'iI'}", raw):
            if tag == _DT_NULL:
                return
            yield tag, value

    def _symbol_table_size(self) -> int | None:
        start, count = self._header["e_shoff"], self._header["e_shnum"]
        if not start or not count:
            return None
        raw = self._bytes(start, count * self._header["e_shentsize"])
        layout = f"{self._order}{'IIQQQQIIQQ' if self._is_64 else 'IIIIIIIIII'}"
        return next((row[5] for row in struct.iter_unpack(layout, raw) if row[1] == _SHT_DYNSYM), None)

    def _offset(self, address: int) -> int:
        return self._place(address)[0]

    def _place(self, address: int) -> tuple[int, int]:
        """Where in the file the bytes lie that are loaded to an address, and how many are left there."""
        for item in self._segments:
            past = address - item.address
            if item.type == PT_LOAD and 0 <= past < item.size:
                return item.offset + past, item.size - past
        raise ValueError(f"nothing is loaded at address {address:#x}")

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
