"""Debug sections: tell what of a program or a shared library only debuggers read.

Format: System V ABI (gabi), chapters 4 and 5. The sections are read here without pyelftools, as an install
tree has hundreds of ELF files that each take it ten times as long.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

_MAGIC = b"\x7fELF"
_ET_EXEC, _ET_DYN = 2, 3
_SHT_SYMTAB, _SHT_NOTE = 2, 7
_NT_GNU_BUILD_ID = 3
_PREFIXES = (b".debug_", b".zdebug_")  # the second is how compressed sections were once called
_MOST_BYTES = 1 << 24  # of one table: a damaged header claims anything


@dataclass(frozen=True)
class Debuggable:
    """A program or a shared library that can be stripped; `build_id` is in hex, empty where it has none."""

    build_id: str = ""


class _Section(NamedTuple):
    name: int
    type: int
    offset: int
    size: int


def find(path: Path) -> Debuggable | None:
    """What a file is that has debug sections or a symbol table; None for every other.

    Relocatable objects are among the others: a kernel loads its modules by their symbols, and linkers need
    those of objects. So is what is damaged, which others have to judge. Raises OSError.
    """
    with path.open("rb", buffering=0) as stream:
        head = stream.read(64)
        if not head.startswith(_MAGIC):
            return None
        try:
            return _find(head, stream)
        except (struct.error, ValueError, IndexError):
            return None


def _find(head: bytes, stream: IO[bytes]) -> Debuggable | None:
    is_64, order = head[4] == 2, "<" if head[5] == 1 else ">"
    if struct.unpack_from(f"{order}H", head, 16)[0] not in (_ET_EXEC, _ET_DYN):
        return None
    start = struct.unpack_from(f"{order}{'Q' if is_64 else 'I'}", head, 40 if is_64 else 32)[0]
    entry_size, count, names_at = struct.unpack_from(f"{order}HHH", head, 58 if is_64 else 46)
    layout = struct.Struct(f"{order}{'IIQQQQIIQQ' if is_64 else 'IIIIIIIIII'}")
    if not start or entry_size != layout.size:
        return None
    rows = layout.iter_unpack(_bytes(stream, start, count * entry_size))
    sections = [_Section(row[0], row[1], row[4], row[5]) for row in rows]
    names = _bytes(stream, sections[names_at].offset, sections[names_at].size)
    if not any(item.type == _SHT_SYMTAB or names.startswith(_PREFIXES, item.name) for item in sections):
        return None
    notes = (_bytes(stream, item.offset, item.size) for item in sections if item.type == _SHT_NOTE)
    return Debuggable(next((found for note in notes for found in _build_ids(note, order)), ""))


def _build_ids(notes: bytes, order: str) -> Iterator[str]:
    at = 0
    while at + 12 <= len(notes):
        name_size, size, kind = struct.unpack_from(f"{order}III", notes, at)
        name_at = at + 12
        found_at = name_at + _padded(name_size)
        if kind == _NT_GNU_BUILD_ID and notes[name_at : name_at + name_size] == b"GNU\0":
            yield notes[found_at : found_at + size].hex()
        at = found_at + _padded(size)


def _padded(size: int) -> int:
    return -(-size // 4) * 4


def _bytes(stream: IO[bytes], offset: int, size: int) -> bytes:
    if size > _MOST_BYTES:
        raise ValueError(f"a table of {size} bytes")
    stream.seek(offset)
    raw = stream.read(size)
    if len(raw) != size:
        raise ValueError(f"it ends within {size} bytes at {offset}")
    return raw
