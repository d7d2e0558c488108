"""Linkage: tell which libraries, symbols and versions the objects of an image lack.

As the loader binds everything at start: glibc, elf/dl-lookup.c and elf/dl-version.c.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from cephtasks.elf import Object, Symbol
from cephtasks.elf_file import Architecture
from cephtasks.findings import Problem
from cephtasks.loader import Link, Loader
from cephtasks.plugins import Loading, loading

_LOADERS = ("ld-linux", "ld-musl", "ld64.so", "ld.so")
_IN_A_BUILD = re.compile(r"^/(?:ceph|home|root|tmp|builddir)/|/(?:_?build|BUILD|\.libs|obj-[^/]+)(?:/|$)")
# The outermost name of a C++ symbol (Itanium C++ ABI, 5.1), or the word that a C library's names begin with.
_CPLUSPLUS = re.compile(r"_Z(?:T[VTIS]|GV)?(?:N[KVRO]*|K)?(\d+)")
_C = re.compile(r"_*[a-z0-9]{3,}_")


@dataclass(frozen=True)
class Lack:
    """What an object of an image lacks, by its path.

    `library` is the soname that it should come from, empty where the object does not tell, and `picked` the
    path that the loader takes for it. `process` is the program in which that shows. `ceph_version` is the one
    that a plugin should be of.
    """

    path: str
    problem: Problem
    library: str = ""
    symbols: tuple[Symbol, ...] = ()
    picked: str = ""
    process: str = ""
    note: str = ""
    ceph_version: str = ""


class _Families:
    """How many symbols of each family the libraries of an image define, each counted once."""

    def __init__(self) -> None:
        self._counts: dict[str, Counter[str]] = {}

    def of(self, path: str, there: Object) -> Counter[str]:
        """The counts of the library at a path."""
        if path not in self._counts:
            self._counts[path] = Counter(map(_family, there.names))
        return self._counts[path]


@dataclass(frozen=True)
class Linkage:
    """The objects of an image as their processes bind them."""

    loader: Loader
    _residues: dict[str, frozenset[Symbol]] = field(default_factory=dict, init=False, compare=False)
    _families: _Families = field(default_factory=_Families, init=False, compare=False)

    def lacks(self, paths: Iterable[str]) -> tuple[Lack, ...]:
        """What the programs and libraries at some paths lack, and the libraries that they load."""
        found: dict[tuple[str, Problem, str], Lack] = {}
        seen: set[str] = set()
        libraries = []
        for path in paths:
            there = self.loader.object_at(path)
            if there is None:
                continue
            self._note(found, self._of_itself(path, there))
            if there.architecture != self.loader.machine:
                continue
            if there.is_program:
                self._note(found, self._in_process(path, ()))
                seen |= {link.path for link in self.loader.links(path) if link.path}
            else:
                libraries.append(path)
        for path in libraries:
            who = loading(f"/{path}")
            if who is not None:
                self._note(found, self._as_plugin(path, who))
            elif path not in seen:
                self._note(found, self._alone(path))
        return tuple(found.values())

    def _note(self, found: dict[tuple[str, Problem, str], Lack], lacks: Iterable[Lack]) -> None:
        for lack in lacks:
            found.setdefault((lack.path, lack.problem, lack.library), lack)

    def _of_itself(self, path: str, there: Object) -> Iterator[Lack]:
        """What is wrong with an object whatever it loads."""
        if there.architecture != self.loader.machine:
            if there.architecture not in self._startable:
                note = (
                    f"is made for {_named(there.architecture)}, the image for {_named(self.loader.machine)}"
                )
                yield Lack(path, Problem.WRONG_ARCHITECTURE, note=note)
            return
        if there.is_program and self.loader.entry(there.interpreter) is None:
            yield Lack(path, Problem.MISSING_LIBRARY, there.interpreter)

    @cached_property
    def _startable(self) -> frozenset[Architecture]:
        """The architectures whose loader the image has, as one for two architectures has two."""
        loaders = (item for item in self.loader.objects.values() if item.soname.startswith(_LOADERS))
        return frozenset(item.architecture for item in loaders)

    def _as_plugin(self, path: str, who: Loading) -> list[Lack]:
        """What a plugin lacks in each of the programs that load it, or in the one where it lacks least."""
        there = (self.loader.program(program) for program in who.programs)
        hosts = [host for host in there if host and self.loader.object_at(host)]
        if not hosts:
            return self._alone(path)
        told = [[*self._in_process(host, (path,)), *self._skew(path, host)] for host in hosts]
        return [lack for lacks in told for lack in lacks] if who.each else min(told, key=len)

    def _skew(self, path: str, host: str) -> Iterator[Lack]:
        """Daemons refuse plugins of another version than theirs."""
        plugin = self.loader.object_at(path)
        process = (host, *(link.path for link in self.loader.links(host) if link.path))
        versions = (there.ceph_version for at in process if (there := self.loader.object_at(at)))
        version = next(filter(None, versions), "")
        if plugin and plugin.ceph_version and version and plugin.ceph_version != version:
            name = host.rpartition("/")[2]
            note = f"is of Ceph {plugin.ceph_version}, and {name}, which is of {version}, refuses it"
            yield Lack(path, Problem.FAILED, process=host, note=note, ceph_version=version)

    def _alone(self, path: str) -> list[Lack]:
        """What a library lacks that nobody is seen to load.

        Whoever loads it may have symbols for it. So only what one of its own libraries should have
        counts; and where it is no library to link to, only what no program of the image has.
        """
        lacks = [lack for lack in self._in_process(path, ()) if lack.library or not lack.symbols]
        if path.rpartition("/")[0] in self.loader.folders:
            return lacks
        return [lack for lack in lacks if not lack.symbols or not self._some_program_has(lack.symbols)]

    def _some_program_has(self, symbols: Iterable[Symbol]) -> bool:
        programs = [item for item in self.loader.objects.values() if item.is_program]
        return all(any(program.defines(symbol) for program in programs) for symbol in symbols)

    def _in_process(self, first: str, opened: Sequence[str]) -> Iterator[Lack]:
        """What is lacking in the process of a program, or of what it opens later."""
        links = list(self.loader.links(first))
        paths = dict.fromkeys([first, *(link.path for link in links if link.path)])
        own = set(opened) or set(paths)
        for plugin in opened:
            for link in self.loader.links(plugin):
                known = any(link.soname == other.soname for other in links)
                if not known:
                    links.append(link)
                    own |= {link.path} if link.path else set()
            own -= set(paths)
        paths |= dict.fromkeys([*opened, *(link.path for link in links if link.path)])
        scope = _Scope(self.loader, links, tuple(paths), self._families)
        process = first if scope.is_process else ""
        for link in links:
            if link.user in own:
                yield from scope.library(link, process)
        for path in paths:
            if path in own:
                yield from scope.versions(path, process)
                yield from scope.symbols(path, self._residue(path, scope), process)

    def _residue(self, path: str, scope: "_Scope") -> Iterable[Symbol]:
        """Of what an object wants, what its own libraries do not give it, which is enough to look at
        where a process has these very libraries."""
        if path not in self._residues:
            links = self.loader.links(path)
            paths = (path, *(link.path for link in links if link.path))
            own = _Scope(self.loader, links, paths, self._families)
            self._residues[path] = frozenset(own.unbound(path))
        if scope.holds(self.loader.links(path)):
            return self._residues[path]
        wanting = self.loader.object_at(path)
        return wanting.undefined if wanting else ()


class _Scope:
    """The objects among which symbols are looked up, in order."""

    def __init__(
        self, loader: Loader, links: Sequence[Link], paths: Sequence[str], families: _Families
    ) -> None:
        self._loader = loader
        self._families = families
        self._path_of = {link.soname: link.path for link in links}
        self._lacks_a_library = None in self._path_of.values()
        self._objects = {path: there for path in paths if (there := loader.object_at(path))}
        self._paths = frozenset(paths)
        first = next(iter(self._objects.values()), None)
        self.is_process = first is not None and first.is_program

    def holds(self, links: Iterable[Link]) -> bool:
        return all(link.path is None or link.path in self._paths for link in links)

    def library(self, link: Link, process: str) -> Iterator[Lack]:
        """A library that is not there, or is none."""
        if link.path is None and link.foreign:
            yield Lack(link.user, Problem.WRONG_ARCHITECTURE, link.soname, (), link.foreign, process)
        elif link.path is None:
            note = self._told_of_a_build(link.user)
            yield Lack(link.user, Problem.MISSING_LIBRARY, link.soname, process=process, note=note)
        elif self._loader.object_at(link.path) is None:
            note = "is no library that can be loaded"
            yield Lack(link.user, Problem.MISSING_LIBRARY, link.soname, (), link.path, process, note)

    def _told_of_a_build(self, user: str) -> str:
        """Why a library may be missing: who needs it was copied out of a build folder, not installed."""
        named = (*self._loader.run_path(user, "rpath"), *self._loader.run_path(user, "runpath"))
        gone = (
            folder for folder in named if _IN_A_BUILD.search(folder) and self._loader.entry(folder) is None
        )
        folder = next(gone, "")
        return f"and is looked for in the build folder {folder}" if folder else ""

    def versions(self, path: str, process: str) -> Iterator[Lack]:
        """Versions that a library should have; of one without any the loader only warns."""
        for soname, lacking in self._versions_lacking(path).items():
            symbols = tuple(Symbol("", version) for version in sorted(lacking))
            yield Lack(
                path, Problem.UNDEFINED_SYMBOL, soname, symbols, self._path_of.get(soname) or "", process
            )

    def symbols(self, path: str, wanted: Iterable[Symbol], process: str) -> Iterator[Lack]:
        """Symbols that nothing has, a lack for each library that should have had them."""
        groups: dict[str, list[Symbol]] = {}
        lacking = self._versions_lacking(path)
        for symbol in sorted([*self.unbound(path, wanted), *self._not_copied(path)]):
            soname = self._named_for(path, symbol)
            # What has no version may come from any library, so from one that is missing too.
            if not soname and self._lacks_a_library:
                continue
            soname = soname or self._likely(path, symbol)
            gone = soname and self._path_of.get(soname, "") is None
            if not gone and symbol.version not in lacking.get(soname, ()):
                groups.setdefault(soname, []).append(symbol)
        for soname, symbols in groups.items():
            picked = self._path_of.get(soname) or ""
            yield Lack(path, Problem.UNDEFINED_SYMBOL, soname, tuple(symbols), picked, process)

    def unbound(self, path: str, wanted: Iterable[Symbol] | None = None) -> Iterator[Symbol]:
        """The symbols that an object wants and nothing here defines."""
        wanting = self._objects.get(path)
        if wanted is None:
            wanted = wanting.undefined if wanting else ()
        for symbol in wanted:
            if not self._binds(path, symbol, self._objects.values()):
                yield symbol

    def _not_copied(self, path: str) -> Iterator[Symbol]:
        """Variables that a program takes over from libraries, which must have them (R_*_COPY)."""
        wanting = self._objects.get(path)
        others = [there for at, there in self._objects.items() if at != path]
        for symbol in wanting.copied if wanting else ():
            if not self._binds(path, symbol, others):
                yield symbol

    def _binds(self, path: str, symbol: Symbol, among: Iterable[Object]) -> bool:
        if any(there.defines(symbol) for there in among):
            return True
        if not symbol.version:
            return False
        if self._loader.is_musl:
            return any(symbol.name in there.names for there in among)
        # A symbol without a version will do, but not of the library that is known to give it one.
        named = self._objects.get(self._path_of.get(self._named_for(path, symbol)) or "")
        return any(Symbol(symbol.name) in there.defined for there in among if there is not named)

    def _named_for(self, path: str, symbol: Symbol) -> str:
        """The soname that a symbol's version is wanted from; empty where it has none."""
        wanting = self._objects.get(path)
        needs: Mapping[str, frozenset[str]] = wanting.versions_needed if wanting else {}
        return next((soname for soname, versions in needs.items() if symbol.version in versions), "")

    def _likely(self, path: str, symbol: Symbol) -> str:
        """The soname of the library that has most of a symbol's family; empty where none has any of it."""
        family = _family(symbol.name)
        sizes: Counter[str] = Counter()
        for soname in self._needed(path) if family else ():
            at = self._path_of.get(soname) or ""
            sizes[soname] = self._families.of(at, self._objects[at])[family] if at in self._objects else 0
        soname, size = next(iter(sizes.most_common(1)), ("", 0))
        return soname if size else ""

    def _versions_lacking(self, path: str) -> dict[str, frozenset[str]]:
        wanting = self._objects.get(path)
        lacking: dict[str, frozenset[str]] = {}
        for soname, versions in wanting.versions_needed.items() if wanting else ():
            there = self._objects.get(self._path_of.get(soname) or "")
            if there is not None and there.versions_defined and not versions <= there.versions_defined:
                lacking[soname] = versions - there.versions_defined
        return {} if self._loader.is_musl else lacking

    def _needed(self, path: str) -> Sequence[str]:
        wanting = self._objects.get(path)
        return wanting.needed if wanting else ()


def _family(name: str) -> str:
    """What the names of one library's symbols have in common; empty where that cannot be told."""
    found = _CPLUSPLUS.match(name)
    if found:
        return name[found.end() : found.end() + int(found[1])]
    found = _C.match(name)
    return found[0] if found else ""


def _named(architecture: Architecture) -> str:
    return f"{architecture.machine.removeprefix('EM_').lower()} with {architecture.bits} bits"
