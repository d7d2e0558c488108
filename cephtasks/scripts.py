"""Scripts: read what runs a script and which Python modules it imports, and tell what of it is missing."""

import ast
import re
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from cephtasks.loader import Loader

START = b"#!"
MOST_BYTES = 1 << 20  # larger ones carry an archive behind them
_ENV = re.compile(r"(?:/usr)?/bin/env$")
_PYTHON = re.compile(r"python(?P<major>3)?(?P<minor>\.\d+)?$")
_MODULE_FOLDER = (
    r"lib(?:64)?/python3(?P<minor>\.\d+)?(?:/(?:dist|site)-packages|/lib-dynload)?/(?P<name>[^/]+)"
)
_MODULES = re.compile(rf"(?P<prefix>(?:[^/]+/)*?){_MODULE_FOLDER}(?:$|/)")
_COMES_ALONG = frozenset(sys.stdlib_module_names)
_ELSEWHERE = re.compile(r"(?!distutils-precedence).*\.pth$|.*\.egg$|.*\.egg-link$")


@dataclass(frozen=True)
class Script:
    """A script: the words that follow `#!`, and if it is Python the packages that it cannot start without."""

    words: tuple[str, ...]
    modules: tuple[str, ...] = ()

    @property
    def interpreter(self) -> str:
        """The path of what the kernel starts."""
        return self.words[0]

    @property
    def program(self) -> str:
        """What env is told to start, or else the interpreter."""
        if not _ENV.search(self.interpreter):
            return self.interpreter
        given = (word for word in self.words[1:] if not word.startswith("-") and "=" not in word)
        return next(given, self.interpreter)


class ScriptLack(NamedTuple):
    """What a script lacks, as a person reads it, and the Python module if it is one."""

    told: str
    module: str = ""


def read(content: bytes) -> Script | None:
    """What a file begins with `#!` for; None for what names no interpreter."""
    words = tuple(content.partition(b"\n")[0].removeprefix(START).decode(errors="replace").split())
    if not words:
        return None
    script = Script(words)
    is_python = _PYTHON.match(script.program.rpartition("/")[2])
    return Script(words, tuple(_imports(content)) if is_python else ())


def lacks(path: str, script: Script, loader: Loader) -> Iterator[ScriptLack]:
    """What a script at a path of an image lacks."""
    if loader.entry(script.interpreter) is None:
        yield ScriptLack(f"its interpreter {script.interpreter} is not in the image")
    elif loader.program(script.program) is None:
        yield ScriptLack(f"its interpreter {script.program} is not on the image's PATH")
    elif script.modules:
        there = _modules(path, script, loader)
        for module in script.modules if there is not None else ():
            if there is not None and module not in there and module not in _COMES_ALONG:
                yield ScriptLack(f"Python's module {module} is not in the image", module)


def _imports(content: bytes) -> Iterator[str]:
    """The packages that a program imports before it does anything.

    None where it is in an older Python, or looks for them in places of its own.
    """
    if b"sys.path" in content:
        return
    try:
        with warnings.catch_warnings(action="ignore"):
            statements = ast.parse(content).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    names: list[str] = []
    for statement in statements:
        if isinstance(statement, ast.Import):
            names += [alias.name for alias in statement.names]
        elif isinstance(statement, ast.ImportFrom) and statement.module and not statement.level:
            names.append(statement.module)
    yield from dict.fromkeys(name.partition(".")[0] for name in names)


def _modules(path: str, script: Script, loader: Loader) -> frozenset[str] | None:
    """The top names that a Python finds; None where files send it to folders that are not known here."""
    real = loader.program(script.program) or ""
    version = _PYTHON.match(real.rpartition("/")[2])
    minor = version["minor"] if version else None
    own = f"{path.rpartition('/')[0]}/"
    prefixes = {f"{where.rpartition('/bin/')[0].strip('/')}/".lstrip("/") for where in (script.program, real)}
    prefixes |= {"", "usr/", "usr/local/"}
    names: set[str] = set()
    for file in loader.files:
        if file.startswith(own):
            names.add(file[len(own) :].partition("/")[0].partition(".")[0])
        if "python3" not in file:
            continue
        found = _MODULES.match(file)
        if found and found["prefix"] in prefixes and found["minor"] in (None, minor or found["minor"]):
            if _ELSEWHERE.match(found["name"]):
                return None
            names.add(found["name"].partition(".")[0])
    return frozenset(names)
