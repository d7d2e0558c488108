"""Console: stdout is the result, stderr is the progress."""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.table import Table
from rich.text import Text

_NARROWEST_TABLE = 400


def say(text: str) -> None:
    """Tell a step on stderr."""
    _stderr().print(Text(text))


def warn(text: str) -> None:
    """Tell something odd that stops nothing, on stderr."""
    _stderr().print(Text.assemble(("warning: ", "yellow"), text))


def stream(chunk: bytes) -> None:
    """Pass another program's output on to stderr, byte for byte and at once."""
    sys.stderr.buffer.write(chunk)
    sys.stderr.buffer.flush()


def result(text: str) -> None:
    """Print a line of the result on stdout, as it is."""
    print(text, flush=True)  # noqa: T201 — the one place where a result leaves


def result_json(document: Any, indent: int = 2) -> None:
    """Print one JSON document on stdout."""
    result(json.dumps(document, indent=indent, ensure_ascii=False))


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], caption: str = "") -> None:
    """Print rows under headings on stdout; colour only on a terminal, never cut in a pipe."""
    console = Console(file=sys.stdout)
    if not console.is_terminal:
        console.width = max(console.width, _NARROWEST_TABLE)
    grid = Table(
        box=None, pad_edge=False, header_style="bold", caption=caption or None, caption_justify="left"
    )
    for column in columns:
        grid.add_column(column, overflow="fold")
    for row in rows:
        grid.add_row(*(Text(cell) for cell in row))
    console.print(grid)


def size(count: float) -> str:
    """Bytes as people read them, in powers of 1000 as registries count."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError("the loop always returns")


class Bars:
    """Bars of bytes on a terminal, one a blob; silent in a pipe."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, Any] = {}

    def update(self, name: str, done: int, total: int | None, note: str = "") -> None:
        """Show that `done` of `total` bytes of the named thing are through."""
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(name, total=total)
        self._progress.update(
            self._tasks[name], completed=done, total=total, description=f"{name} {note}".strip()
        )


@contextmanager
def bars() -> Iterator[Bars]:
    """A progress display for as long as the block lasts."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        DownloadColumn(),
        TransferSpeedColumn(),
    )
    console = _stderr()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield Bars(progress)


def _stderr() -> Console:
    return Console(file=sys.stderr, soft_wrap=True, highlight=False)
