"""Console: stdout is the result, stderr is the progress."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # loading rich takes longer than `invoke catalog` should
    from rich.console import Console
    from rich.progress import Progress

from cephtasks.errors import NoTerminal

# While bars or a status are shown they own the terminal: what is said meanwhile goes above them.
_showing: "list[Console]" = []


def say(text: str) -> None:
    """Tell a step on stderr."""
    from rich.text import Text

    _stderr().print(Text(text))


def warn(text: str) -> None:
    """Tell something odd that stops nothing, on stderr."""
    from rich.text import Text

    _stderr().print(Text.assemble(("warning: ", "yellow"), text))


def stream(chunk: bytes) -> None:
    """Pass another program's output on to stderr at once, byte for byte.

    While bars or a status are shown, it is to be whole lines.
    """
    if _showing:
        from rich.text import Text

        _stderr().print(Text.from_ansi(chunk.decode(errors="replace").removesuffix("\n")))
        return
    sys.stderr.buffer.write(chunk)
    sys.stderr.buffer.flush()


def require_terminal() -> None:
    """Raises NoTerminal where nobody can type."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise NoTerminal("a prompt needs a terminal, and this is a pipe", "type it in a terminal")


def result(text: str) -> None:
    """Print a line of the result on stdout, as it is; what stdout cannot write becomes an escape."""
    print(_writable(text), flush=True)  # noqa: T201 — the one place where a result leaves


def result_json(document: Any, indent: int = 2) -> None:
    """Print one JSON document on stdout."""
    in_utf8 = _encoding().lower().replace("-", "") == "utf8"
    result(json.dumps(document, indent=indent, ensure_ascii=not in_utf8))


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], caption: str = "") -> None:
    """Print rows under headings on stdout: wrapped on a terminal, one line a row in a pipe."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(file=sys.stdout)
    if not console.is_terminal:
        for line in _aligned([columns, *rows]):
            result(line)
        if caption:
            result(caption)
        return
    grid = Table(
        box=None, pad_edge=False, header_style="bold", caption=caption or None, caption_justify="left"
    )
    for column in columns:
        grid.add_column(column, overflow="fold")
    for row in rows:
        grid.add_row(*(Text(_writable(cell)) for cell in row))
    console.print(grid)


def size(amount: float) -> str:
    """Bytes as people read them, in powers of 1000 as registries amount."""
    if round(abs(amount)) < 1000:
        return f"{amount:.0f} B"
    power = next((power for power in (1, 2) if round(abs(amount) / 1000**power, 1) < 1000), 3)
    return f"{amount / 1000**power:.1f} {('kB', 'MB', 'GB')[power - 1]}"


def count(number: int, noun: str) -> str:
    """So many of something, as people say it."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


class Bars:
    """Bars of bytes on a terminal, one a blob; silent in a pipe."""

    def __init__(self, progress: "Progress") -> None:
        self._progress = progress
        self._tasks: dict[str, Any] = {}

    def update(self, name: str, done: int, total: int | None, note: str = "") -> None:
        """Show that `done` of `total` bytes of a thing are through; without `total`, only the note."""
        shown = f"{name} {note}".strip()
        if total is None:
            if name in self._tasks:
                self._progress.update(self._tasks[name], description=shown)
        elif name in self._tasks:
            self._progress.update(self._tasks[name], completed=done, total=total, description=shown)
        else:
            self._tasks[name] = self._progress.add_task(shown, completed=done, total=total)

    def remove(self, name: str) -> None:
        """Show no more of the named thing."""
        if name in self._tasks:
            self._progress.remove_task(self._tasks.pop(name))


@contextmanager
def bars() -> Iterator[Bars]:
    """A progress display for as long as the block lasts."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        DownloadColumn(),
        TransferSpeedColumn(),
    )
    console = _stderr()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        _showing.append(console)
        try:
            yield Bars(progress)
        finally:
            _showing.pop()


@contextmanager
def status(tell: Callable[[], str]) -> Iterator[bool]:
    """Keep a line below what goes by for as long as the block lasts, asking time and again what it tells.

    Whether there is one: a pipe has none, nor has a terminal that cannot go back in a line.
    """
    from rich.live import Live
    from rich.text import Text

    console = _stderr()
    if not console.is_interactive:
        yield False
        return

    def latest() -> Text:
        return Text(tell(), no_wrap=True, overflow="ellipsis")

    with Live(get_renderable=latest, console=console, transient=True, refresh_per_second=4):
        _showing.append(console)
        try:
            yield True
        finally:
            _showing.pop()


def _stderr() -> "Console":
    from rich.console import Console

    return _showing[-1] if _showing else Console(file=sys.stderr, soft_wrap=True, highlight=False)


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """The rows as lines, every column as wide as its widest cell."""
    from rich.cells import cell_len

    flat = [[" ".join(cell.splitlines()) for cell in row] for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(*flat, strict=True)]
    for row in flat:
        padded = (cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(padded).rstrip()


def _encoding() -> str:
    return sys.stdout.encoding or "utf-8"


def _writable(text: str) -> str:
    """File names may hold bytes that are no text, and a stdout may know few characters."""
    return text.encode(_encoding(), "backslashreplace").decode(_encoding())
