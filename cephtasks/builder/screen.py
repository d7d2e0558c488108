"""Screen: show what a builder writes as it comes, on a terminal with one line that tells how far it is."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cephtasks import console
from cephtasks.builder.output import Output

OnOutput = Callable[[bytes], None]
_RERUN = "Re-running CMake"  # what ninja calls that step


@contextmanager
def showing(output: Output, keep: OnOutput) -> Iterator[tuple[OnOutput, OnOutput]]:
    """What to call with each chunk of stdout and of stderr, for as long as the block lasts; all is kept."""
    with console.status(lambda: output.status(time.monotonic())) as has_line:
        stdout, stderr = _Stream(output, keep, has_line), _Stream(output, keep, has_line)
        try:
            yield stdout.add, stderr.add
        finally:
            stdout.end()
            stderr.end()


class _Stream:
    """Chunks of one stream, which become lines."""

    def __init__(self, output: Output, keep: OnOutput, has_line: bool) -> None:
        self._output = output
        self._keep = keep
        self._has_line = has_line
        self._rest = b""

    def add(self, chunk: bytes) -> None:
        self._keep(chunk)
        if not self._has_line:
            console.stream(chunk)
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            self._show(line)

    def end(self) -> None:
        if self._rest:
            self._show(self._rest)

    def _show(self, line: bytes) -> None:
        """On a terminal steps are told by the one line, and the others go by above it."""
        is_step = self._output.add(line, time.monotonic())
        if is_step and self._output.doing.startswith(_RERUN):
            console.say("configuring again, as build files changed")
        if self._has_line and not is_step:
            console.stream(line + b"\n")
