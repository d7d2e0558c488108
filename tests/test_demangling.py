"""Demangling: names as their authors wrote them."""

import pytest

from cephtasks.demangling import demangled, readable
from cephtasks.elf import Symbol


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("_ZN8librados5Rados7connectEv", "librados::Rados::connect()"),
        ("_ZTV8Objecter", "vtable for Objecter"),
        ("rados_connect", "rados_connect"),
        ("_Znonsense", "_Znonsense"),
        ("", ""),
    ],
)
def test_a_name(name: str, text: str) -> None:
    """What is no mangled name stays as it is."""
    assert demangled(name) == text


def test_a_version_follows() -> None:
    """As linkers write it."""
    assert readable(Symbol("rados_connect", "LIBRADOS_14.2.0")) == "rados_connect@LIBRADOS_14.2.0"
    assert readable(Symbol("_ZN8librados5Rados7connectEv")) == "librados::Rados::connect()"
