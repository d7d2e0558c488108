"""ELF: read what the dynamic loader looks at in a program or a shared library."""

import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, NamedTuple

from elftools.common.exceptions import ELFError
from elftools.construct.core import ConstructError

from cephtasks.elf_file import MAGIC, PT_INTERP, Architecture, ElfFile, SymbolRow
from cephtasks.errors import ElfDamaged

_DT_NEEDED, _DT_SONAME, _DT_RPATH, _DT_RUNPATH = 1, 14, 15, 29
_STB_LOCAL, _STB_WEAK = 0, 2
_SHN_UNDEF = 0
_VER_NDX_LOCAL = 0
# The relocation by which a program takes over a library's variable (the R_*_COPY of each psABI).
_COPY = {
    "EM_386": 5,
    "EM_X86_64": 5,
    "EM_ARM": 20,
    "EM_AARCH64": 1024,
    "EM_PPC64": 19,
    "EM_RISCV": 4,
    "EM_S390": 9,
    "EM_LOONGARCH": 4,
}
# What Ceph's plugins and its daemons answer when they ask each other for their version
# (src/erasure-code/ErasureCodePlugin.cc, src/common/PluginRegistry.cc, src/common/version.cc).
_VERSION_FUNCTIONS = ("__erasure_code_version", "__ceph_plugin_version", "_Z19ceph_version_to_strv")
_FUNCTION_BYTES = 64  # the text is named within these
_LEA_RIP = re.compile(rb"[\x48\x4c]\x8d[\x05\x0d\x15\x1d\x25\x2d\x35\x3d](.{4})", re.DOTALL)
_LONGEST_VERSION = 80
_VERSION = re.compile(rb"[\w.+~-]*\d\.\d[\w.+~-]*|Development")  # their code names other texts too


class Symbol(NamedTuple):
    """A dynamic symbol; `version` is empty where it has none."""

    name: str
    version: str = ""


@dataclass(frozen=True)
class Object:
    """A program or a shared library as the loader sees it.

    `needed` are sonames. The process ends without the `undefined` symbols, and runs without the `weak`
    ones. `versions_needed` maps a soname to the versions that the library of that name must define.
    `copied` are variables that a program takes over from its libraries, among its `defined` ones.
    `ceph_version` is the version of Ceph that a daemon's code or a plugin was built as, where it tells.
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
    copied: frozenset[Symbol] = frozenset()
    ceph_version: str = ""

    @property
    def is_program(self) -> bool:
        """Whether it is started, not loaded: the C library can be both, and has a soname."""
        return bool(self.interpreter) and not self.soname

    def defines(self, symbol: Symbol) -> bool:
        """Whether a reference to the symbol binds here; one without a version takes any version."""
        return symbol in self.defined or (not symbol.version and symbol.name in self.names)

    @cached_property
    def names(self) -> frozenset[str]:
        """The names of what is defined here, whatever their versions."""
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
        file = ElfFile(stream)
        return _read_object(file) if file.is_loadable else None
    # The last three are what offsets out of a damaged header come to.
    except (ELFError, ConstructError, struct.error, ValueError, OverflowError) as error:
        raise ElfDamaged(f"{name} is a damaged ELF file: {error}", f"readelf --all {name}") from error


def _read_object(file: ElfFile) -> Object:
    file.require_whole()
    needs = tuple(file.version_needs())
    definitions = dict(file.version_definitions())
    versions = {need.number: need.version for need in needs} | definitions
    rows = file.symbols()
    symbols = _Symbols(rows, versions)
    interpreter = file.segment(PT_INTERP).rstrip(b"\0").decode(errors="backslashreplace")
    copies = file.relocated(_COPY.get(file.architecture.machine, 0)) if interpreter else ()
    soname = file.tag(_DT_SONAME)
    return Object(
        file.architecture,
        soname="" if soname is None else file.string(soname),
        interpreter=interpreter,
        needed=tuple(file.string(value) for tag, value in file.tags if tag == _DT_NEEDED),
        rpath=_folders(file, _DT_RPATH),
        runpath=_folders(file, _DT_RUNPATH),
        defined=frozenset(symbols.defined),
        undefined=frozenset(symbols.undefined),
        weak=frozenset(symbols.weak - symbols.undefined),
        versions_defined=frozenset(definitions.values()),
        versions_needed=_grouped((need.soname, need.version) for need in needs if not need.weak),
        copied=frozenset(symbols.at(index) for index in set(copies)),
        ceph_version=_ceph_version(file, rows),
    )


class _Symbols:
    """The dynamic symbols of an object: those defined here, those wanted, and those wanted weakly."""

    def __init__(self, rows: Sequence[SymbolRow], versions: Mapping[int, str]) -> None:
        self._rows, self._versions = rows, versions
        self.defined: set[Symbol] = set()
        self.undefined: set[Symbol] = set()
        self.weak: set[Symbol] = set()
        for row in rows:
            if not row.name or row.binding == _STB_LOCAL:
                continue
            symbol = Symbol(row.name, versions.get(row.version, ""))
            if row.section == _SHN_UNDEF:
                (self.weak if row.binding == _STB_WEAK else self.undefined).add(symbol)
            # Linkers give each version a symbol of its own name, which nobody refers to.
            elif row.version != _VER_NDX_LOCAL and symbol.name != symbol.version:
                self.defined.add(symbol)

    def at(self, index: int) -> Symbol:
        """The symbol of a row."""
        if index >= len(self._rows):
            raise ValueError(f"a relocation by symbol {index} of {len(self._rows)}")
        row = self._rows[index]
        return Symbol(row.name, self._versions.get(row.version, ""))


def _ceph_version(file: ElfFile, rows: Iterable[SymbolRow]) -> str:
    """What the code of a function that tells Ceph's version refers to, on x86-64; empty for others."""
    if file.architecture.machine != "EM_X86_64":
        return ""
    address = next((row.address for row in rows if row.section and row.name in _VERSION_FUNCTIONS), None)
    if address is None:
        return ""
    code = file.bytes_from(address, _FUNCTION_BYTES)
    for found in _LEA_RIP.finditer(code):
        (distance,) = struct.unpack("<i", found[1])
        text = file.bytes_from(address + found.end() + distance, _LONGEST_VERSION).partition(b"\0")[0]
        if _VERSION.fullmatch(text):
            return text.decode(errors="backslashreplace")
    return ""


def _folders(file: ElfFile, tag: int) -> tuple[str, ...]:
    value = file.tag(tag)
    return () if value is None else tuple(folder for folder in file.string(value).split(":") if folder)


def _grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, frozenset[str]]:
    groups: dict[str, set[str]] = {}
    for key, value in pairs:
        groups.setdefault(key, set()).add(value)
    return {key: frozenset(values) for key, values in groups.items()}
