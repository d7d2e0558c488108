"""ELF, on what gcc makes, held against what binutils reads."""

import io
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cephtasks import elf
from cephtasks.elf import Object, Symbol
from cephtasks.elf_file import Architecture
from cephtasks.errors import ElfDamaged
from lab.programs import compiled, library, versioned

STRIPER = "int striper_read(void) {return 1;} int striper_write(void) {return 2;}"
VERSIONS = "V_1 {global: striper_read; local: *;}; V_2 {global: striper_write;} V_1;"


def require(found: Object | None) -> Object:
    """The object that there must be."""
    assert found is not None
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library with versions, `rados`, which needs it, and `plain`, the same library without versions."""
    folder = tmp_path_factory.mktemp("elf")
    striper = versioned(folder / "libstriper.so.1.0.0", "libstriper.so.1", STRIPER, VERSIONS)
    library(folder / "plain.so", "plain.so.1", STRIPER)
    source = """
        int striper_write(void);
        __attribute__((weak)) int optional(void);
        int main(void) {return striper_write() + (optional ? optional() : 0);}
    """
    compiled(folder / "rados", source, striper, "-Wl,--enable-new-dtags,-rpath,/opt/ceph/lib:$ORIGIN/../lib")
    return folder


def test_a_program_tells_what_it_needs(folder: Path) -> None:
    """Sonames, run path, interpreter; symbols with the versions of the libraries that it was linked with."""
    rados = require(elf.read(folder / "rados"))
    assert rados.needed == ("libstriper.so.1", "libc.so.6")
    assert (rados.rpath, rados.runpath) == ((), ("/opt/ceph/lib", "$ORIGIN/../lib"))
    assert rados.interpreter.startswith("/lib")
    assert Symbol("striper_write", "V_2") in rados.undefined
    assert rados.versions_needed["libstriper.so.1"] == {"V_2"}
    assert rados.soname == ""


def test_weak_symbols_are_told_apart(folder: Path) -> None:
    """A program runs without them, so they are none that it cannot run without."""
    rados = require(elf.read(folder / "rados"))
    assert Symbol("optional") in rados.weak
    assert Symbol("optional") not in rados.undefined


def test_a_library_tells_what_it_offers(folder: Path) -> None:
    """Its soname, and what it defines, each symbol with its version."""
    striper = require(elf.read(folder / "libstriper.so.1.0.0"))
    assert striper.soname == "libstriper.so.1"
    assert striper.defined == {Symbol("striper_read", "V_1"), Symbol("striper_write", "V_2")}
    assert striper.versions_defined == {"V_1", "V_2"}
    assert striper.interpreter == ""


@pytest.mark.parametrize(
    ("file", "symbol", "binds"),
    [
        ("libstriper.so.1.0.0", Symbol("striper_write", "V_2"), True),
        ("libstriper.so.1.0.0", Symbol("striper_write", "V_1"), False),
        ("libstriper.so.1.0.0", Symbol("striper_write"), True),
        ("libstriper.so.1.0.0", Symbol("striper_erase"), False),
        ("plain.so", Symbol("striper_write"), True),
        ("plain.so", Symbol("striper_write", "V_2"), False),
    ],
)
def test_a_reference_binds_by_name_and_version(folder: Path, file: str, symbol: Symbol, binds: bool) -> None:
    """A reference with a version wants that very one; one without takes any."""
    assert require(elf.read(folder / file)).defines(symbol) is binds


def test_an_old_run_path_is_told_from_a_new_one(tmp_path: Path) -> None:
    """RPATH and RUNPATH are searched at different times."""
    old = compiled(tmp_path / "old", "int main(void) {return 0;}", "-Wl,--disable-new-dtags,-rpath,/opt/a")
    assert require(elf.read(old)).rpath == ("/opt/a",)
    assert require(elf.read(old)).runpath == ()


def test_a_static_program_needs_nothing(tmp_path: Path) -> None:
    """What has no dynamic section still is a program of an architecture."""
    static = compiled(tmp_path / "static", "void _start(void) {}", "-static", "-nostdlib")
    found = require(elf.read(static))
    assert (found.needed, found.interpreter, found.undefined) == ((), "", frozenset())


def test_a_32_bit_library_is_read(tmp_path: Path) -> None:
    """Tables of the other class have another layout."""
    small = library(tmp_path / "small.so", "small.so.1", STRIPER, "-m32", "-nostdlib")
    found = require(elf.read(small))
    assert found.architecture == Architecture("EM_386", 32)
    assert {symbol.name for symbol in found.defined} == {"striper_read", "striper_write"}


def test_another_machine_is_told(folder: Path) -> None:
    """The machine is the one of the header: 183 is arm64."""
    raw = bytearray((folder / "plain.so").read_bytes())
    struct.pack_into("<H", raw, 18, 183)
    assert require(elf.read(io.BytesIO(raw))).architecture == Architecture("EM_AARCH64", 64)


def test_section_headers_are_not_needed(folder: Path) -> None:
    """Loaders do not look at section headers, and some tools strip them."""
    raw = bytearray((folder / "libstriper.so.1.0.0").read_bytes())
    struct.pack_into("<Q", raw, 40, 0)  # e_shoff
    struct.pack_into("<HH", raw, 60, 0, 0)  # e_shnum, e_shstrndx
    assert elf.read(io.BytesIO(raw)) == elf.read(folder / "libstriper.so.1.0.0")


@pytest.mark.parametrize(
    "content",
    [b"", b"\x7fEL", b"#!/bin/sh\n", b"/* GNU ld script */\nINPUT(libceph.so.2)\n", b"!<arch>\n"],
    ids=["empty", "three bytes", "script", "linker script", "archive"],
)
def test_what_is_no_elf_is_none(content: bytes) -> None:
    """Build trees are full of files that are named like libraries, and are none."""
    assert elf.read(io.BytesIO(content)) is None


def test_a_relocatable_object_is_none(tmp_path: Path) -> None:
    """No loader loads what a linker has not seen."""
    assert elf.read(compiled(tmp_path / "part.o", STRIPER, "-c")) is None


def test_a_cut_off_copy_is_damaged(folder: Path) -> None:
    """A library that was copied in part is named, wherever it ends."""
    raw = (folder / "libstriper.so.1.0.0").read_bytes()
    for length in range(4, len(raw) // 2, 97):  # the last third is for linkers, and may go
        with pytest.raises(ElfDamaged, match=r"libcut\.so is a damaged ELF file: "):
            elf.read(io.BytesIO(raw[:length]), "libcut.so")


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_is_never_worse_than_an_error(folder: Path, data: st.DataObject) -> None:
    """Whatever bytes change, a file is read, or is none, or is damaged."""
    raw = bytearray((folder / "libstriper.so.1.0.0").read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        raw[data.draw(st.integers(0, 0x600))] = data.draw(st.integers(0, 255))
    try:
        found = elf.read(io.BytesIO(raw))
    except ElfDamaged as error:
        assert "damaged" in error.fact
    else:
        assert found is None or found.architecture.bits in {32, 64}


def test_symbols_are_those_that_binutils_reads() -> None:
    """On a large real library: the C++ runtime of this machine's compiler."""
    where = ["gcc", "-print-file-name=libstdc++.so.6"]
    path = subprocess.run(where, check=True, capture_output=True, text=True).stdout.strip()
    listed = subprocess.run(
        ["nm", "--dynamic", "--with-symbol-versions", path], check=True, capture_output=True, text=True
    ).stdout
    expected: dict[str, set[Symbol]] = {"defined": set(), "undefined": set(), "weak": set()}
    for line in listed.splitlines():
        *_, kind, text = line.split(maxsplit=2) if not line.startswith(" ") else line.split(maxsplit=1)
        name, _, version = text.replace("@@", "@").partition("@")
        wanted = {"U": "undefined", "w": "weak", "v": "weak"}.get(kind, "defined")
        if kind != "A":  # the names of the versions themselves
            expected[wanted].add(Symbol(name, version))
    found = require(elf.read(Path(path)))
    assert found.defined == expected["defined"]
    assert found.undefined == expected["undefined"]
    assert found.weak == expected["weak"]
