"""Debug sections: what can be stripped is told from what cannot, and by its build id."""

import re
import struct
import subprocess
from pathlib import Path

import pytest

from cephtasks.debug_sections import Debuggable, find
from lab.programs import compiled

MAIN = "int main(void) { return 0; }"


def build_id(path: Path) -> str:
    """The build id as readelf shows it."""
    shown = subprocess.run(["readelf", "--notes", path], check=True, capture_output=True, text=True).stdout
    found = re.search(r"Build ID: (\w+)", shown)
    assert found is not None
    return found[1]


@pytest.mark.parametrize(
    "options",
    [
        ("-g",),
        (),
        ("-g", "-no-pie"),
        ("-g", "-static"),
        ("-g", "-shared", "-fPIC"),
        ("-g", "-gz=zlib"),
        ("-g", "-Wl,--build-id=md5"),
    ],
)
def test_what_the_compiler_leaves_can_be_stripped(tmp_path: Path, options: tuple[str, ...]) -> None:
    """Programs and shared libraries, with debug sections or with a symbol table alone."""
    program = compiled(tmp_path / "a", MAIN, "-Wl,--build-id", *options)
    assert find(program) == Debuggable(build_id(program))


def test_a_file_may_have_no_build_id(tmp_path: Path) -> None:
    """Then it is empty."""
    assert find(compiled(tmp_path / "a", MAIN, "-g", "-Wl,--build-id=none")) == Debuggable("")


@pytest.mark.parametrize("options", [("-g", "-c"), ("-s",), ("-s", "-shared", "-fPIC")])
def test_objects_and_stripped_files_cannot(tmp_path: Path, options: tuple[str, ...]) -> None:
    """A kernel module is such an object, and useless without its symbols."""
    assert find(compiled(tmp_path / "a", MAIN, *options)) is None


@pytest.mark.parametrize("content", [b"", b"#!/bin/sh\n", b"\x7fELF", b"\x7fELF" + b"\xff" * 100])
def test_other_files_cannot(tmp_path: Path, content: bytes) -> None:
    """Empty ones, scripts, and what only begins as ELF."""
    (tmp_path / "a").write_bytes(content)
    assert find(tmp_path / "a") is None


def test_no_end_of_a_damaged_file_is_an_error(tmp_path: Path) -> None:
    """Wherever a file is cut off it is left to others to judge."""
    raw = compiled(tmp_path / "a", MAIN, "-g").read_bytes()
    for length in range(0, len(raw), 97):
        (tmp_path / "a").write_bytes(raw[:length])
        assert find(tmp_path / "a") is None


def test_an_elf_file_of_32_bits_in_the_other_byte_order(tmp_path: Path) -> None:
    """The header says how the tables are to be read."""
    names = b"\0.debug_info\0"
    note = struct.pack(">III4s4s", 4, 4, 3, b"GNU\0", b"\xab\xcd\xef\x01")
    rows = [(0, 0, 0, 0), (1, 1, 52, 0), (0, 7, 52, len(note)), (0, 3, 52 + len(note), len(names))]
    table = b"".join(
        struct.pack(">10I", name, kind, 0, 0, at, size, 0, 0, 0, 0) for name, kind, at, size in rows
    )
    start = 52 + len(note) + len(names)
    header = b"\x7fELF\x01\x02\x01".ljust(16, b"\0") + struct.pack(
        ">HHIIIIIHHHHHH", 3, 8, 1, 0, 0, start, 0, 52, 0, 0, 40, len(rows), 3
    )
    (tmp_path / "a").write_bytes(header + note + names + table)
    assert find(tmp_path / "a") == Debuggable("abcdef01")
