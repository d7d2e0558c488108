"""Mending: decide which libraries of the build mend the tools of an image."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from cephtasks.demangling import readable
from cephtasks.elf import Object, Symbol
from cephtasks.errors import LibraryNotFound
from cephtasks.findings import Fault, Finding
from cephtasks.libraries import Candidate
from cephtasks.loader import Loader
from cephtasks.plugins import is_binding
from cephtasks.tree import follow, resolve

_MODULE_FOLDER = re.compile(r"usr/lib(?:64)?/python3(?:\.\d+)?/(?:dist|site)-packages")
_PYTHON_ABI = re.compile(r"\.cpython-(\d)(\d+)")
_PYTHON = re.compile(r"/python(\d)\.(\d+)$")


@dataclass(frozen=True)
class Placement:
    """A library that goes into an image: where, a symlink beside it (or none), and why."""

    candidate: Candidate
    path: str
    link: str
    why: str


@dataclass(frozen=True)
class Repair:
    """The libraries that mend an image, and a line for each tool that they do not mend."""

    placements: tuple[Placement, ...] = ()
    unmended: tuple[str, ...] = ()


def plan_repair(
    findings: Sequence[Finding],
    loader: Loader,
    candidates: Sequence[Candidate],
    globs: Sequence[str] = (),
    before: Repair = Repair(),
) -> Repair:
    """The smallest repair that is seen to help, from what tools said of an image with `before` in it.

    A candidate brings along what it needs itself. With globs, the repair is the files that they name,
    and nothing else; raises LibraryNotFound where one names none.
    """
    mender = _Mender(findings, loader, candidates, before)
    faulty = [finding for finding in findings if not finding.ok]
    if globs:
        for glob in globs:
            mender.take_named(glob)
        return Repair(mender.placements)
    reasons = [(finding, mender.mend(finding)) for finding in faulty]
    return Repair(mender.placements, tuple(f"{item.tool}: {reason}" for item, reason in reasons if reason))


class _Unfit(Exception):
    """A candidate would not run in the image, or would not help; its text says why."""


class _Mender:
    """A repair while it is decided on: each library is chosen knowing those that were chosen before it."""

    def __init__(
        self, findings: Iterable[Finding], loader: Loader, candidates: Sequence[Candidate], before: Repair
    ) -> None:
        self._loader = loader
        self._candidates = [item for item in candidates if item.object.architecture == loader.machine]
        self._foreign = [item for item in candidates if item.object.architecture != loader.machine]
        self._tried = {item.candidate.path for item in before.placements}
        self._chosen = {item.candidate.soname: item for item in before.placements}
        self._paths: dict[str, str] = {}
        for finding in findings:
            for user in self._users(finding):
                self._paths = loader.walk(user) | self._paths

    @property
    def placements(self) -> tuple[Placement, ...]:
        return tuple(self._chosen.values())

    def take_named(self, glob: str) -> None:
        """Choose the files that a glob names, of each soname the first."""
        named = [item for item in self._candidates if _is_named(item, glob)]
        if not named:
            foreign = any(_is_named(item, glob) for item in self._foreign)
            made = "is made for the image's architecture and " if foreign else ""
            raise LibraryNotFound(f"no library of the build {made}is named {glob}", "FIX_LIBS= invoke fix")
        for item in reversed(named):
            self._place(item, f"FIX_LIBS names {glob}", self._path(item.soname))

    def mend(self, finding: Finding) -> str:
        """Choose what mends a tool, or say why nothing does."""
        fault = finding.fault
        if fault is None:
            return f"no library mends that: {finding.problem}, {finding.detail}"
        try:
            if fault.module:
                self._mend_module(finding, fault.module)
            elif fault.ceph_version:
                self._mend_version(finding, fault.ceph_version)
            elif finding.symbols:
                self._mend_symbols(finding, fault)
            else:
                self._mend_library(finding, fault)
        except _Unfit as unfit:
            return str(unfit)
        return ""

    def _mend_module(self, finding: Finding, module: str) -> None:
        """Python lacks a module that may be one of Ceph's bindings."""
        name = module.rpartition(".")[2]
        options = [item for item in self._candidates if is_binding(item.path.name, name)]
        folder = self._binding_folder()
        why_not = f"the build has no Python module {name}"
        if options and folder is None:
            raise _Unfit(f"the image has no folder for the Python module {name} of the build")
        if options and not (options := [item for item in options if self._is_of_this_python(item)]):
            why_not = f"the {name} of the build is made for another Python"
        paths = ((item, f"{folder}/{item.path.name}") for item in options)
        self._take(paths, f"{finding.tool} imports it", why_not)

    def _binding_folder(self) -> str | None:
        """Where the image has others of Ceph's bindings, or else where its Python looks for modules."""
        files = self._loader.files
        beside = (path.rpartition("/")[0] for path in files if is_binding(path.rpartition("/")[2]))
        folders = (path for path in files if _MODULE_FOLDER.fullmatch(path))
        return next(beside, None) or min(folders, default=None)

    def _is_of_this_python(self, option: Candidate) -> bool:
        made_for = _PYTHON_ABI.search(option.path.name)
        real = _PYTHON.search(self._loader.program("python3") or "")
        return made_for is None or real is None or made_for.groups() == real.groups()

    def _mend_version(self, finding: Finding, version: str) -> None:
        """A plugin is of another version of Ceph than the daemon that loads it."""
        there = follow(finding.path, self._loader.files)
        plugin = self._loader.object_at(there.path) if there else None
        same = [item for item in self._candidates if plugin and item.soname == plugin.soname]
        fitting = ((item, there.path) for item in same if there and item.object.ceph_version == version)
        why_not = f"the build has none of Ceph {version}"
        self._take(fitting, f"the one in the image is not of Ceph {version}", why_not)

    def _mend_library(self, finding: Finding, fault: Fault) -> None:
        """The loader has no file for a soname, or one that it cannot use: then it tells the path."""
        soname = fault.library.rpartition("/")[2]
        there = follow(fault.library, self._loader.files) if "/" in fault.library else None
        why = f"{finding.tool} needs it" + (", and the one that is there cannot be used" if there else "")
        why_not = f"the build has no {soname}"
        if any(item.soname == soname for item in self._foreign):
            why_not = f"the {soname} of the build is made for another architecture"
        options = [item for item in self._candidates if soname in (item.soname, *item.names)]
        if options:
            self._take(((item, there.path if there else None) for item in options), why, why_not)
            return
        user, others = self._others(fault)
        without = ((item, user) for item in others if soname not in item.object.needed)
        self._take(without, f"the one in the image needs {soname}", why_not)

    def _others(self, fault: Fault) -> tuple[str, list[Candidate]]:
        """The path of the library that complained, and what the build has in its place."""
        user = follow(fault.wanted_by, self._loader.files)
        wanting = self._loader.object_at(user.path) if user else None
        others = [item for item in self._candidates if wanting and item.soname == wanting.soname]
        return user.path if user else "", others

    def _mend_symbols(self, finding: Finding, fault: Fault) -> None:
        """A library that is there lacks symbols or versions, or who wants them is out of date."""
        soname = fault.library.rpartition("/")[2]
        if soname:
            self._mend_together(finding, finding.symbols, fault, [soname])
            return
        for symbol in finding.symbols:
            new = (item.candidate for item in self.placements if item.candidate.path not in self._tried)
            if not any(_provides(item.object, [symbol]) for item in new):
                self._mend_together(finding, [symbol], fault, self._reach(finding))

    def _mend_together(
        self, finding: Finding, symbols: Sequence[Symbol], fault: Fault, reach: Sequence[str]
    ) -> None:
        """Choose what has all of some symbols among what is reached, or else a user that wants none."""
        wanted = readable(symbols[0]) + (f" and {len(symbols) - 1} more" if len(symbols) > 1 else "")
        definers = [item for item in self._candidates if _provides(item.object, symbols)]
        options = [item for item in definers if item.soname in reach]
        if options:
            options.sort(key=lambda item: reach.index(item.soname))
            paths = ((item, self._path(item.soname)) for item in options)
            self._take(paths, f"{finding.tool} needs its {wanted}", "")
            return
        why_not = f"no library of the build defines {wanted}"
        if definers:
            why_not = (
                f"{definers[0].soname} of the build defines {wanted}, but {finding.tool} does not load it"
            )
        user, others = self._others(fault)
        newer = ((item, user) for item in others if not any(_wants(item.object, each) for each in symbols))
        self._take(newer, f"the one in the image wants {wanted}", why_not)

    def _reach(self, finding: Finding) -> list[str]:
        """The sonames that a tool loads, nearest to the complaint first, then those that it may open."""
        near = [soname for user in self._users(finding) for soname in self._loader.walk(user)]
        later = [item.soname for item in self._candidates if self._path(item.soname)]
        return list(dict.fromkeys([*near, *self._chosen, *later]))

    def _users(self, finding: Finding) -> Iterator[str]:
        """The paths of the object that complained, and of the tool."""
        for name in (finding.fault.wanted_by if finding.fault else "", finding.path):
            path = self._loader.program(name) if name else None
            if path is not None:
                yield path

    def _path(self, soname: str) -> str | None:
        """Where the faulty tools find a library, or else any program."""
        return self._paths.get(soname) or self._loader.find(soname)

    def _take(self, options: Iterable[tuple[Candidate, str | None]], why: str, why_not: str) -> None:
        """Choose the first option that runs in the image, and what it needs itself; raises _Unfit.

        With each option comes the path that it replaces, if any.
        """
        for option, at in options:
            placed = self._chosen.get(option.soname)
            if option.path in self._tried:
                why_not = f"{option.path.name} of the build does not help"
            elif placed is not None and placed.candidate.path == option.path:
                return
            else:
                try:
                    along = self._closure(option)
                except _Unfit as unfit:
                    why_not = str(unfit)
                    continue
                self._place(option, why, at)
                for candidate, reason in along:
                    self._place(candidate, reason, self._path(candidate.soname))
                return
        raise _Unfit(why_not)

    def _closure(self, option: Candidate) -> list[tuple[Candidate, str]]:
        """What an option needs that nothing in the image or the repair has, and who needs it."""
        objects = {soname: item.candidate.object for soname, item in self._chosen.items()}
        objects[option.soname] = option.object
        along: list[tuple[Candidate, str]] = []
        pending = [option]
        for user in pending:
            for needed, why in self._needs(user, objects):
                objects[needed.soname] = needed.object
                along.append((needed, why))
                pending.append(needed)
        return along

    def _needs(self, user: Candidate, objects: Mapping[str, Object]) -> Iterator[tuple[Candidate, str]]:
        for soname in user.object.needed:
            there = self._object(soname, objects)
            versions = user.object.versions_needed.get(soname, frozenset())
            if there is not None and versions <= there.versions_defined:
                continue
            lacking = ", ".join(sorted(versions - there.versions_defined)) if there else ""
            what = f"{soname} with {lacking}" if lacking else soname
            fitting = (
                item
                for item in self._candidates
                if item.soname == soname and versions <= item.object.versions_defined
            )
            found = next(fitting, None)
            if found is None:
                raise _Unfit(
                    f"{user.path.name} of the build needs {what}, and neither image nor build has it"
                )
            yield found, f"{user.soname} needs {what}"
        yield from self._symbols_needed(user, objects)

    def _symbols_needed(
        self, user: Candidate, objects: Mapping[str, Object]
    ) -> Iterator[tuple[Candidate, str]]:
        """Newer copies of what a library loads, for symbols that the copies there lack.

        A symbol that none of them has may be the program's own: whether it is, the next check tells.
        """
        scope = self._scope(user, objects)
        for symbol in sorted(user.object.undefined):
            if any(item.defines(symbol) for item in scope.values()):
                continue
            newer = (
                item for item in self._candidates if item.soname in scope and item.object.defines(symbol)
            )
            found = next(newer, None)
            if found is not None:
                scope[found.soname] = found.object
                yield found, f"{user.soname} needs its {readable(symbol)}"

    def _scope(self, user: Candidate, objects: Mapping[str, Object]) -> dict[str, Object]:
        """The objects by soname that a library loads, and those load, and so on; itself among them."""
        scope = {user.soname: user.object}
        pending = [user.object]
        for item in pending:
            for soname in item.needed:
                found = None if soname in scope else self._object(soname, objects)
                if found is not None:
                    scope[soname] = found
                    pending.append(found)
        return scope

    def _object(self, soname: str, objects: Mapping[str, Object]) -> Object | None:
        if soname in objects:
            return objects[soname]
        path = self._path(soname)
        return self._loader.object_at(path) if path else None

    def _place(self, candidate: Candidate, why: str, at: str | None) -> None:
        """Put a candidate where the loader finds the soname now, or else where it looks for any."""
        home, link = self._loader.home, ""
        if at is None:
            at = resolve(f"{home}/{candidate.path.name}", self._loader.files)
            if candidate.path.name != candidate.soname:
                link = resolve(f"{home}/{candidate.soname}", self._loader.files)
        self._chosen[candidate.soname] = Placement(candidate, at, link, why)


def _is_named(candidate: Candidate, glob: str) -> bool:
    return any(fnmatchcase(name, glob) for name in (candidate.soname, *candidate.names))


def _provides(item: Object, symbols: Iterable[Symbol]) -> bool:
    """Whether an object defines all of some symbols, or where only a version is asked for, that."""
    return all(
        item.defines(symbol) if symbol.name else symbol.version in item.versions_defined for symbol in symbols
    )


def _wants(item: Object, symbol: Symbol) -> bool:
    if symbol.name:
        return any(
            symbol.name == name and symbol.version in ("", version) for name, version in item.undefined
        )
    return any(symbol.version in versions for versions in item.versions_needed.values())
