"""Edits: install trees that change as trees do, step by step, and a base that lies in their way."""

import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cephtasks.oci import digest_of
from cephtasks.tree import Entry, Kind
from lab.layers import Member, file, folder, hardlink, symlink

Choose = Callable[[Sequence[Any]], Any]

# What the tree may hold: places that the base has too, that it has under another name, that it lacks.
_PATHS = (
    *(
        "usr/lib-x",
        "lib/a",
        "usr/lib/a",
        "lib/d/a",
        "usr/lib/d/a",
        "usr/lib/d",
        "lib64/b",
        "usr/lib/b",
        "bin/c",
        "usr/bin/c",
    ),
    *(
        "etc/conf",
        "etc/conf/x",
        "etc/keep/x",
        "etc/keep",
        "opt",
        "opt/x",
        "opt/x/y",
        "gone/z",
        "usr/one",
        "usr/two",
    ),
    *("tofile", "tofile/n", "usr/device", "usr/lib/closed/a", "usr/lib/closed", "var/new/deep/file"),
)
_CONTENTS = tuple(bytes([letter]) * size for letter in b"abc" for size in (0, 10, 3_000, 20_000))
_TARGETS = ("a", "../lib/a", "/usr/lib", "nowhere")
_MODES = (0o755, 0o644, 0o4755, 0o700)


@dataclass(frozen=True)
class Node:
    """What a tree has at one path; files with one number are names of one file."""

    kind: Kind
    mode: int = 0o755
    content: bytes = b""
    target: str = ""
    number: int = 0


Nodes = Mapping[str, Node]


def base_members() -> list[Member]:
    """The tar of a base: usr-merged, with links to nowhere and to a file, a hard link, and a device."""
    device = tarfile.TarInfo("usr/device")
    device.type, device.mode, device.devmajor, device.devminor = tarfile.CHRTYPE, 0o666, 1, 3
    closed = folder("usr/lib/closed", 0o700)
    closed.uid = closed.gid = 7
    return [
        *(folder(name) for name in ("etc", "etc/keep", "usr", "usr/bin", "usr/lib", "usr/lib/d")),
        *(closed, device),
        *(symlink("lib", "usr/lib"), symlink("lib64", "/lib"), symlink("bin", "usr/bin")),
        *(symlink("gone", "usr/gone"), symlink("tofile", "usr/two")),
        *(file("etc/conf", _CONTENTS[1]), file("etc/keep/x", _CONTENTS[2]), file("etc/keep/y", _CONTENTS[3])),
        *(
            file("usr/lib/a", _CONTENTS[2]),
            file("usr/lib/d/a", _CONTENTS[5]),
            file("usr/lib/d/more", b"more"),
        ),
        *(
            file("usr/lib/closed/a", _CONTENTS[1]),
            file("usr/one", _CONTENTS[6]),
            hardlink("usr/two", "usr/one"),
        ),
    ]


def base_contents() -> dict[str, bytes]:
    """The content of the base's files."""
    members = [member for member in base_members() if isinstance(member, tuple)]
    contents = {member.name: content for member, content in members}
    return contents | {"usr/two": contents["usr/one"]}


def edited(nodes: Nodes, choose: Choose) -> Nodes:
    """The tree after one edit."""
    edit: Callable[[dict[str, Node], Choose], None] = choose(_EDITS)
    changed = dict(nodes)
    edit(changed, choose)
    return changed


def index(nodes: Nodes) -> dict[str, Entry]:
    """The tree as `index_folder` would index it."""
    first_names: dict[int, str] = {}
    return {path: _entry(path, node, first_names) for path, node in sorted(nodes.items())}


def _entry(path: str, node: Node, first_names: dict[int, str]) -> Entry:
    if node.kind is not Kind.FILE:
        return Entry(path, node.kind, node.mode, target=node.target)
    first = first_names.setdefault(node.number, path)
    if first != path:
        return Entry(path, Kind.HARDLINK, node.mode, target=first)
    return Entry(
        path, Kind.FILE, node.mode, len(node.content), digest_of(node.content).removeprefix("sha256:")
    )


def _put(nodes: dict[str, Node], path: str, node: Node) -> None:
    """Put something in place of whatever is there, with the folders that it needs."""
    _remove(nodes, path)
    nodes[path] = node
    while path := path.rpartition("/")[0]:
        if path not in nodes or nodes[path].kind is not Kind.FOLDER:
            nodes[path] = Node(Kind.FOLDER)


def _remove(nodes: dict[str, Node], path: str) -> None:
    for name in [name for name in nodes if name == path or name.startswith(f"{path}/")]:
        del nodes[name]


def _files(nodes: Nodes) -> list[str]:
    return sorted(path for path, node in nodes.items() if node.kind is Kind.FILE)


def _write(nodes: dict[str, Node], choose: Choose) -> None:
    number = max((node.number for node in nodes.values()), default=0) + 1
    _put(nodes, choose(_PATHS), Node(Kind.FILE, choose(_MODES), choose(_CONTENTS), number=number))


def _write_in_place(nodes: dict[str, Node], choose: Choose) -> None:
    if files := _files(nodes):
        number, content = nodes[choose(files)].number, choose(_CONTENTS)
        for path in files:
            if nodes[path].number == number:
                nodes[path] = replace(nodes[path], content=content)


def _link(nodes: dict[str, Node], choose: Choose) -> None:
    if files := _files(nodes):
        path, node = choose(_PATHS), nodes[choose(files)]
        _put(nodes, path, node)


def _symlink(nodes: dict[str, Node], choose: Choose) -> None:
    _put(nodes, choose(_PATHS), Node(Kind.SYMLINK, 0o777, target=choose(_TARGETS)))


def _make_folder(nodes: dict[str, Node], choose: Choose) -> None:
    _put(nodes, choose(_PATHS), Node(Kind.FOLDER, choose(_MODES)))


def _delete(nodes: dict[str, Node], choose: Choose) -> None:
    if nodes:
        _remove(nodes, choose(sorted(nodes)))


def _rename(nodes: dict[str, Node], choose: Choose) -> None:
    if nodes:
        old, new = choose(sorted(nodes)), choose(_PATHS)
        moved = {name: node for name, node in nodes.items() if name == old or name.startswith(f"{old}/")}
        _remove(nodes, old)
        _remove(nodes, new)
        for name, node in moved.items():
            _put(nodes, new + name.removeprefix(old), node)


def _chmod(nodes: dict[str, Node], choose: Choose) -> None:
    names = sorted(path for path, node in nodes.items() if node.kind is not Kind.SYMLINK)
    if names:
        chosen, mode = nodes[choose(names)], choose(_MODES)
        for path in names:
            if nodes[path] is chosen or (chosen.number and nodes[path].number == chosen.number):
                nodes[path] = replace(nodes[path], mode=mode)


_EDITS = (_write, _write, _write_in_place, _link, _symlink, _make_folder, _delete, _rename, _chmod)
