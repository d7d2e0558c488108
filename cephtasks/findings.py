"""Findings: tell from how a tool ended what is wrong with it."""

import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from cephtasks.demangling import demangled, readable
from cephtasks.elf import Symbol

TIMED_OUT_CODE = 124  # as timeout(1) exits
_NOT_FOUND = 127  # as shells exit, and `docker run`
_SIGNALLED, _LAST_SIGNAL = 128, 31  # shells and engines add the signal to the first
_CONTROL = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|[\x00-\x1f\x7f]")
_LONGEST_DETAIL = 1000  # characters; a mangled name of C++ has hundreds


class Problem(StrEnum):
    """What can be wrong with a tool."""

    UNDEFINED_SYMBOL = "undefined symbol"
    MISSING_LIBRARY = "missing library"
    NOT_FOUND = "not found"
    WRONG_ARCHITECTURE = "wrong architecture"
    CRASHED = "crashed"
    TIMED_OUT = "timed out"
    FAILED = "failed"


@dataclass(frozen=True)
class Fault:
    """What a loader complained of: a library's soname or path, a symbol and its version, who wants it.

    What the loader did not say is empty. Of a version that a library lacks, there is no symbol. `module` is
    a Python module that is not there, `ceph_version` the version that a plugin should be of.
    """

    library: str = ""
    symbol: str = ""
    version: str = ""
    wanted_by: str = ""
    module: str = ""
    ceph_version: str = ""


@dataclass(frozen=True)
class Finding:
    """How one tool of an image is, or one file; `problem` is None where it is well, `detail` is one line.

    A file is its own `tool`, and has no exit code. `symbols` are all that it lacks of `fault.library`,
    `picked` is the path that the loader takes for that, `better` a file of the build that has what lacks.
    """

    tool: str
    ok: bool
    exit_code: int | None
    problem: Problem | None
    detail: str
    path: str = ""
    fault: Fault | None = None
    symbols: tuple[Symbol, ...] = ()
    picked: str = ""
    better: str = ""

    @property
    def told(self) -> str:
        """The detail as a person reads it, and what of the build would mend it."""
        text = self.detail
        for symbol in self.symbols:
            text = text.replace(symbol.name, demangled(symbol.name)) if symbol.name else text
        return f"{text}; better: {self.better}" if self.better else text

    def document(self) -> dict[str, Any]:
        """The finding as `check --json` prints it; what is not known is left out."""
        known = {
            "object": self.fault.wanted_by if self.fault else "",
            "symbols": [readable(symbol) for symbol in self.symbols],
            "library": self.fault.library if self.fault else "",
            "picked": self.picked,
            "better": self.better,
        }
        return {
            "tool": self.tool,
            "ok": self.ok,
            "exit_code": self.exit_code,
            "problem": self.problem,
            "detail": self.detail,
            **{name: value for name, value in known.items() if value},
        }


@dataclass(frozen=True)
class Ending:
    """How a tool ended: exit code, the last of its output, and its path, empty where the image has none."""

    exit_code: int
    output: bytes = b""
    timed_out: bool = False
    path: str = ""


_BY = r"(?:(?P<wanted_by>[^\s:]+): )?"
_LIBRARY = r"(?P<library>[^\s:]+): "
_NEEDED_BY = r"(?: \(needed by (?P<wanted_by>[^)]+)\))?"
# What glibc (elf/dl-load.c, dl-lookup.c, dl-version.c) and musl (ldso/dynlink.c) say, and who starts a
# tool. Python passes a loader's words on in an ImportError.
_SAYINGS = {
    Problem.UNDEFINED_SYMBOL: (
        _BY + r"undefined symbol: (?P<symbol>[^\s,]+)(?:, version (?P<version>\S+))?",
        _BY + r"symbol (?P<symbol>[^\s,]+),? version (?P<version>\S+) not defined in file (?P<library>\S+)",
        _LIBRARY + r"version [`'](?P<version>[^']+)' not found \(required by (?P<wanted_by>[^)]+)\)",
        r"Error relocating (?P<wanted_by>[^:]+): (?P<symbol>\S+): symbol not found",
    ),
    Problem.MISSING_LIBRARY: (
        _LIBRARY + "cannot open shared object file",
        _LIBRARY + r"(?:file too short|invalid ELF header|cannot read file data|ELF load command )",
        r"Error loading shared library (?P<library>[^:]+): No such file or directory" + _NEEDED_BY,
    ),
    Problem.WRONG_ARCHITECTURE: (
        _LIBRARY + "wrong ELF class",
        r"Error loading shared library (?P<library>[^:]+): Exec format error" + _NEEDED_BY,
        "cannot execute binary file|[Ee]xec format error",
    ),
    Problem.NOT_FOUND: (r"^exec \S+: no such file or directory$",),
    Problem.FAILED: (r"No module named '(?P<module>[\w.]+)'",),
}
_PATTERNS = [(re.compile(saying), problem) for problem, sayings in _SAYINGS.items() for saying in sayings]
_SHELL_SAYS_CRASHED = re.compile(
    r"(?:^|: |\d )(?:Segmentation fault|Bus error|Aborted|Illegal instruction|Floating point exception)"
    r"(?: |$)"
)
_INCONSISTENCY = "Inconsistency detected by ld.so"
_NO_VERSIONS = re.compile(_LIBRARY + r"no version information available \(required by (?P<wanted_by>[^)]+)\)")


def diagnose(tool: str, ending: Ending) -> Finding:
    """What a tool's ending says of it.

    A loader that fails exits 127, as a missing command does: its words come first, then the exit code.
    """
    lines = tuple(_lines(ending.output))
    last = lines[-1] if lines else ""
    if ending.timed_out:
        detail = "it did not end in time" + (f", and last said: {last}" if last else "")
        return Finding(tool, False, TIMED_OUT_CODE, Problem.TIMED_OUT, detail, ending.path)
    if ending.exit_code == 0:
        return Finding(tool, True, 0, None, last, ending.path)
    problem, detail, fault = _heard(lines) or _by_exit_code(ending.exit_code, lines)
    symbols = (Symbol(fault.symbol, fault.version),) if fault and (fault.symbol or fault.version) else ()
    return Finding(tool, False, ending.exit_code, problem, detail, ending.path, fault, symbols)


def not_found(tool: str) -> Finding:
    """What there is to say of a tool that an image lacks."""
    return Finding(tool, False, _NOT_FOUND, Problem.NOT_FOUND, "the image has no such tool on its PATH")


_Verdict = tuple[Problem, str, Fault | None]


def _heard(lines: tuple[str, ...]) -> _Verdict | None:
    """What the first line says that is a loader's; a loader ends at its first trouble."""
    for line in lines:
        if _INCONSISTENCY in line:
            return _unversioned(lines)
        for pattern, problem in _PATTERNS:
            found = pattern.search(line)
            if found:
                return problem, line, _fault(found)
    return None


def _unversioned(lines: tuple[str, ...]) -> _Verdict | None:
    """glibc dies of a library without versions that should have one; it warned of it before."""
    found = next((found for line in lines if (found := _NO_VERSIONS.search(line))), None)
    return (Problem.UNDEFINED_SYMBOL, found.string, _fault(found)) if found else None


def _fault(found: re.Match[str]) -> Fault | None:
    said = {name: text for name, text in found.groupdict().items() if text}
    return Fault(**said) if said else None


def _by_exit_code(code: int, lines: tuple[str, ...]) -> _Verdict:
    last = lines[-1] if lines else ""
    if _SIGNALLED < code <= _SIGNALLED + _LAST_SIGNAL:
        name = signal.Signals(code - _SIGNALLED).name
        return Problem.CRASHED, f"killed by {name}" + (f"; it last said: {last}" if last else ""), None
    crash = next((line for line in lines if _SHELL_SAYS_CRASHED.search(line)), None)
    if crash is not None:
        return Problem.CRASHED, crash, None
    problem = Problem.NOT_FOUND if code == _NOT_FOUND else Problem.FAILED
    return problem, last or f"it exited {code} without a word", None


def _lines(output: bytes) -> Iterator[str]:
    """The lines of an output that hold something to read."""
    for line in output.decode(errors="replace").splitlines():
        readable = " ".join(_CONTROL.sub(" ", line).split())
        if readable:
            yield readable if len(readable) <= _LONGEST_DETAIL else f"{readable[:_LONGEST_DETAIL]}…"
