"""Demangling: read a C++ symbol as its author wrote it."""

import ctypes
import functools
from typing import Any

from cephtasks.elf import Symbol


def readable(symbol: Symbol) -> str:
    """A symbol and its version as a person reads it; mangled where this machine has no C++ library."""
    return "@".join(filter(None, (demangled(symbol.name), symbol.version)))


def demangled(name: str) -> str:
    """What a mangled name stands for (Itanium C++ ABI, 3.4); any other name as it is."""
    demangler = _demangler() if name.startswith("_Z") else None
    if demangler is None:
        return name
    demangle, free = demangler
    status = ctypes.c_int()
    text = demangle(name.encode(), None, None, ctypes.byref(status))
    if not text:
        return name
    try:
        return (ctypes.string_at(text) if status.value == 0 else name.encode()).decode(errors="replace")
    finally:
        free(text)


@functools.cache
def _demangler() -> tuple[Any, Any] | None:
    """`__cxa_demangle` and what frees its results; None where there is no libstdc++."""
    try:
        demangle, free = ctypes.CDLL("libstdc++.so.6").__cxa_demangle, ctypes.CDLL(None).free
    except (OSError, AttributeError):
        return None
    demangle.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_void_p]
    demangle.restype = ctypes.c_void_p
    free.argtypes, free.restype = [ctypes.c_void_p], None
    return demangle, free
