"""Inspection: tell without starting anything what is broken among the files of an image."""

import re
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, replace

from cephtasks import scripts
from cephtasks.contents import Contents, Needs
from cephtasks.demangling import readable
from cephtasks.elf import Symbol
from cephtasks.findings import Fault, Finding, Problem
from cephtasks.linkage import Lack, Linkage
from cephtasks.plugins import loading
from cephtasks.scripts import Script, ScriptLack
from cephtasks.tree import Index, Kind

_LOADER_STATE = ("etc/ld.so.cache", "etc/ld.so.preload")
_NO_COMMANDS = re.compile(r"(?:^|/)(?:share/doc|lib(?:64)?/python[\d.]*|share/ceph/mgr)/|/examples/")
_SHOWN = 2  # symbols in a line; all of them are in the document


@dataclass(frozen=True)
class Inspection:
    """What was found, and how many objects and scripts were looked at."""

    findings: tuple[Finding, ...]
    objects: int
    scripts: int


def inspect(contents: Contents, base: Index | None = None) -> Inspection:
    """Look at what lies above a base and at what of the base that touches; at everything without a base."""
    files = contents.loader.files
    changed = (
        None
        if base is None
        else frozenset(path for path in files.keys() | base.keys() if files.get(path) != base.get(path))
    )
    objects = tuple(_objects(contents, changed, base or {}))
    lacks = Linkage(contents.loader).lacks(objects)
    looked_at = tuple(_scripts(contents, changed))
    lacking = (
        _of_script(path, lack) for path, script in looked_at for lack in _lacks(contents, path, script, base)
    )
    return Inspection((*map(finding_of, lacks), *lacking), len(objects), len(looked_at))


def finding_of(lack: Lack) -> Finding:
    """What an object lacks, as a row of check."""
    path = f"/{lack.path}"
    first = lack.symbols[0] if lack.symbols else Symbol("")
    return Finding(
        path,
        False,
        None,
        lack.problem,
        _detail(lack),
        path,
        Fault(lack.library, first.name, first.version, path, ceph_version=lack.ceph_version)
        if lack.library or lack.symbols or lack.ceph_version
        else None,
        lack.symbols,
        f"/{lack.picked}" if lack.picked else "",
    )


def _detail(lack: Lack) -> str:
    """One line: what is wrong, with which library, and in which process that shows."""
    process = f"/{lack.process}" if lack.process not in ("", lack.path) else ""
    inside = f" (in {process})" if process else ""
    if lack.symbols:
        named = ", ".join(map(_shown, lack.symbols[:_SHOWN]))
        more = f" and {len(lack.symbols) - _SHOWN} more" if len(lack.symbols) > _SHOWN else ""
        source = f" of {lack.library}" if lack.library else ""
        picked = f", which the loader finds at /{lack.picked}," if lack.picked else ""
        return f"{named}{more}{source}{picked} is not there{inside}"
    if lack.library and lack.problem is Problem.WRONG_ARCHITECTURE:
        return f"{lack.library} is only there for another architecture, at /{lack.picked}{inside}"
    if lack.library and lack.picked:
        return f"{lack.library} at /{lack.picked} {lack.note}{inside}"
    told = " ".join(filter(None, (f"{lack.library} is not in the image" if lack.library else "", lack.note)))
    return f"{told}{inside}"


def _shown(symbol: Symbol) -> str:
    return readable(symbol) if symbol.name else f"version {symbol.version}"


def _of_script(path: str, lack: ScriptLack) -> Finding:
    fault = Fault(module=lack.module) if lack.module else None
    return Finding(f"/{path}", False, None, Problem.NOT_FOUND, lack.told, f"/{path}", fault)


def _lacks(contents: Contents, path: str, script: Script, base: Index | None) -> Iterable[ScriptLack]:
    """What a script lacks, but for what one of the base lacked there already."""
    lacks = tuple(scripts.lacks(path, script, contents.loader))
    if not lacks or base is None or base.get(path) != contents.loader.files[path]:
        return lacks
    before = set(scripts.lacks(path, script, replace(contents.loader, files=base)))
    return [lack for lack in lacks if lack not in before]


def _scripts(contents: Contents, changed: frozenset[str] | None) -> Iterator[tuple[str, Script]]:
    """The scripts that somebody may start."""
    folders = contents.loader.commands
    for path, entry in contents.loader.files.items():
        script = contents.scripts.get(entry.sha256) if entry.kind is Kind.FILE else None
        if script is None or _NO_COMMANDS.search(path):
            continue
        if path.rpartition("/")[0] in folders or (changed is not None and path in changed):
            yield path, script


def _objects(contents: Contents, changed: frozenset[str] | None, base: Index) -> Iterator[str]:
    """The objects to look at: all, or those that changed and those to which that makes a difference."""
    files = contents.loader.files
    there = {
        path: entry.sha256
        for path, entry in files.items()
        if entry.kind is Kind.FILE and entry.sha256 in contents.needs
    }
    if changed is None or changed & set(_LOADER_STATE):
        yield from there
        return
    touched = {path.rpartition("/")[2] for path in changed if ".so" in path}
    before = {path: base[path].sha256 for path in changed & base.keys()}
    shas = (index[path] for index in (before, there) for path in changed & index.keys())
    touched |= {contents.needs[sha256].soname for sha256 in shas if sha256 in contents.needs} - {""}
    needs = {path: contents.needs[sha256] for path, sha256 in there.items()}
    affected = (changed & there.keys()) | _users(needs, touched)
    for path in there:
        who = loading(f"/{path}")
        hosts = map(contents.loader.program, who.programs if who else ())
        if path in affected or any(host in affected for host in hosts):
            yield path


def _users(needs: Mapping[str, Needs], touched: Set[str]) -> set[str]:
    """The objects that come to load a soname that was touched."""
    users: set[str] = set()
    reached, before = set(touched), -1
    while before != len(users):
        before = len(users)
        for path in needs.keys() - users:
            if not reached.isdisjoint(needs[path].needed):
                users.add(path)
                reached |= {needs[path].soname, path.rpartition("/")[2]} - {""}
    return users
