"""Architecture: the code is as docs/architecture.md says, and says what it is."""

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "cephtasks"
DOCUMENT = (ROOT / "docs" / "architecture.md").read_text()
LONGEST = 350  # lines of a module below its docstring; what is longer has two roles

MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


@dataclass(frozen=True)
class Row:
    """A module as the table of levels has it."""

    level: int
    role: str
    beside: frozenset[str]


def tables() -> Iterator[list[str]]:
    """The cells of every table row of the document."""
    for line in DOCUMENT.splitlines():
        if line.startswith("| ") and not line.startswith("|---"):
            yield [cell.strip() for cell in line.removeprefix("|").removesuffix("|").split(" | ")]


def names(cell: str) -> frozenset[str]:
    """What stands between backquotes."""
    return frozenset(re.findall(r"`([^`]+)`", cell))


def levels() -> dict[str, Row]:
    """The table of levels: `name.py`, or `name/` for a package."""
    return {
        next(iter(names(cells[1]))): Row(int(cells[0]), cells[2], names(cells[3]))
        for cells in tables()
        if cells[0].isdigit()
    }


def inside() -> dict[str, str]:
    """The tables of what is inside packages: `package/name.py` and its role."""
    return {
        cells[0].strip("`"): cells[1]
        for cells in tables()
        if len(cells) == 2 and re.fullmatch(r"`\w+/\w+\.py`", cells[0])
    }


def edges() -> dict[str, frozenset[str]]:
    """The table of edges: an outside thing and the modules that may know it."""
    section = DOCUMENT.partition("\n## Edges\n")[2]
    rows = re.findall(r"^\| `([\w.]+)` \| (.+) \|$", section, re.MULTILINE)
    return {thing: names(known_by) for thing, known_by in rows}


def house_name(path: Path) -> str:
    """A module as the table of levels calls it."""
    first, *rest = path.relative_to(PACKAGE).parts
    return f"{first}/" if rest else first


def imported(path: Path) -> Iterator[str]:
    """Every module that a module imports, wherever in it: its dotted name."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            assert node.module is not None
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if is_ours(inner) else node.module


def file_of(dotted: str) -> Path:
    """The file of a module of ours."""
    path = ROOT.joinpath(*dotted.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def is_ours(dotted: str) -> bool:
    """Whether a dotted name is a module of this package."""
    return dotted.startswith("cephtasks.") and file_of(dotted).exists()


def imports_of_ours(path: Path) -> set[Path]:
    """The files of this package that a module imports."""
    return {file_of(dotted) for dotted in imported(path) if is_ours(dotted)}


def first_line(path: Path) -> str:
    """What a module says of itself first."""
    return (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]


def role(path: Path) -> str:
    """The role in a module's first line, without the noun and the full stop."""
    return first_line(path).partition(": ")[2].removesuffix(".")


def named(path: Path) -> str:
    """A module as test names have it."""
    return str(path.relative_to(PACKAGE))


def test_every_module_has_its_row() -> None:
    """The table of levels lists each module and each package once, and nothing that is not there."""
    assert set(levels()) == {house_name(path) for path in MODULES}


def test_every_module_inside_a_package_has_its_row() -> None:
    """So do the tables of what is inside packages."""
    expected = {named(path) for path in MODULES if path.parent != PACKAGE and path.name != "__init__.py"}
    assert set(inside()) == expected


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_a_module_says_its_one_role(path: Path) -> None:
    """The first line is `Noun: what it does.`, and the table says the same."""
    assert re.fullmatch(r"[A-Z][\w ]*: \S.*\.", first_line(path))
    table = {**{name: row.role for name, row in levels().items()}, **inside()}
    name = house_name(path) if path.name == "__init__.py" else named(path)
    assert table[name] == role(path)


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_imports_point_downwards(path: Path) -> None:
    """A module uses what is below it, and of its own level only what the table names."""
    table, own = levels(), house_name(path)
    for other in {house_name(found) for found in imports_of_ours(path)} - {own, "errors/"}:
        downwards = table[other].level < table[own].level
        assert downwards or other in table[own].beside, f"{own} must not import {other}"


def test_a_module_that_may_be_used_is_used() -> None:
    """The last column of the table names what is so, not what might be."""
    used: dict[str, set[str]] = {name: set() for name in levels()}
    for path in MODULES:
        used[house_name(path)] |= {house_name(found) for found in imports_of_ours(path)}
    for name, row in levels().items():
        same = {other for other in row.beside if levels()[other].level == row.level}
        assert same == row.beside, f"{name}: only its own level needs naming"
        assert row.beside <= used[name], f"{name} does not use all that it may"


def test_no_two_modules_need_each_other() -> None:
    """Nothing flows back, inside packages either."""
    graph: Mapping[Path, set[Path]] = {path: imports_of_ours(path) for path in MODULES}
    assert list(TopologicalSorter(graph).static_order())


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_a_module_is_read_in_one_go(path: Path) -> None:
    """A long module holds two roles."""
    told = ast.get_docstring(ast.parse(path.read_text()), clean=False) or ""
    assert len(path.read_text().splitlines()) - len(told.splitlines()) <= LONGEST


@pytest.mark.parametrize("thing", edges())
def test_an_outside_thing_is_known_at_its_edge(thing: str) -> None:
    """Only the modules in the table of edges know it, and they do."""
    knowing = {house_name(path) for path in MODULES if knows(path, thing)}
    assert knowing == edges()[thing]


def knows(path: Path, thing: str) -> bool:
    """Whether a module imports a package of that name, or uses a name of Python that is called so."""
    if thing in ("print", "os.environ"):
        uses = uses_print if thing == "print" else uses_environment
        return any(uses(node) for node in ast.walk(ast.parse(path.read_text())))
    return any(dotted.partition(".")[0] == thing for dotted in imported(path))


def uses_print(node: ast.AST) -> bool:
    """`print(…)`, or a write to stdout that goes around it."""
    return isinstance(node, ast.Call) and ast.unparse(node.func) in ("print", "sys.stdout.write")


def uses_environment(node: ast.AST) -> bool:
    """`os.environ` in any of its forms."""
    return isinstance(node, ast.Attribute) and node.attr in ("environ", "environb", "getenv", "getenvb")


def test_every_dependency_is_needed() -> None:
    """What pyproject.toml asks for is imported somewhere, and stands in the table of edges."""
    text = (ROOT / "pyproject.toml").read_text()
    listed = re.search(r"^dependencies = \[(.*?)^\]", text, re.MULTILINE | re.DOTALL)
    assert listed is not None
    called = {"pyelftools": "elftools", "python-dotenv": "dotenv"}
    needed = re.findall(r'"([\w-]+)', listed[1])
    assert needed
    assert {called.get(name, name) for name in needed} <= set(edges())
