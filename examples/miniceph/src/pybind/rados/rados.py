"""rados: librados for Python."""

import ctypes
import os
from pathlib import Path

_SIZE = 4096  # bytes; no answer of librados is longer

_built = os.environ.get("CEPH_LIB")
_librados = ctypes.CDLL(str(Path(_built, "librados.so.2")) if _built else "librados.so.2")
_librados.rados_version.restype = ctypes.c_char_p
_librados.rados_status.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t]


class Error(Exception):
    """What librados refused, in its own words."""


def version() -> str:
    """The version of the library in use."""
    return _librados.rados_version().decode()


def status(data: str) -> str:
    """What the monitor of the cluster in a folder knows: a JSON document. Raises Error."""
    answer = ctypes.create_string_buffer(_SIZE)
    if _librados.rados_status(os.fsencode(data), answer, _SIZE):
        raise Error(answer.value.decode())
    return answer.value.decode()
