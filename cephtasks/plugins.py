"""Plugins: know which programs load the libraries of Ceph and Python that no program links to."""

import re
from typing import NamedTuple


class Loading(NamedTuple):
    """Who loads the plugins of a kind: any one of the programs will do, or each one that is there."""

    programs: tuple[str, ...]
    each: bool


# By the plugin's path; a program's symbols are there for what it loads. Ceph: src/osd/ClassHandler.cc,
# src/erasure-code/ErasureCodePlugin.cc, src/common/PluginRegistry.cc; libraries beside the erasure code
# plugins are opened by these. Extension modules: Python's Modules/_ctypes and PEP 3149.
_KINDS = (
    (re.compile(r"/rados-classes/lib[^/]+\.so[^/]*$"), Loading(("ceph-osd",), each=True)),
    (re.compile(r"/erasure-code/libec_[^/]+\.so[^/]*$"), Loading(("ceph-osd", "ceph-mon"), each=True)),
    (re.compile(r"/ceph/(?:compressor|crypto)/lib[^/]+\.so[^/]*$"), Loading(("ceph-osd",), each=True)),
    (re.compile(r"/ceph/denc/[^/]+\.so$"), Loading(("ceph-dencoder",), each=True)),
    (
        re.compile(r"\.cpython-[^/]+\.so$|\.abi3\.so$|/lib-dynload/[^/]+\.so$"),
        Loading(("python3", "ceph-mgr"), each=False),
    ),
)
# Python's modules of these names come from Ceph and are what ceph and ceph-mgr work by.
BINDINGS = ("rados", "rbd", "cephfs", "rgw")
_BINDING = re.compile(rf"(?P<module>{'|'.join(BINDINGS)})\.(?:[^/]*\.)?so")


def is_binding(name: str, module: str = "") -> bool:
    """Whether a file of that name is one of Ceph's Python modules, or the one that is named."""
    found = _BINDING.fullmatch(name)
    return found is not None and module in ("", found["module"])


def loading(path: str) -> Loading | None:
    """Who loads the library at a path of an image; None where that is not known."""
    return next((who for pattern, who in _KINDS if pattern.search(path)), None)
