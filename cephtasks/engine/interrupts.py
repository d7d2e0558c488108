"""Interrupts: let Ctrl-C in only where it leaves nothing behind."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType


class Interrupts:
    """For as long as the block lasts, Ctrl-C waits for a `welcome`, or for the end of the block.

    Once it was let in, pressing it again and again does nothing more, so what it set off is not cut short.
    """

    def __init__(self) -> None:
        self._pressed = self._welcome = self._let_in = False
        # Python gives signals to its main thread alone; and who ignores Ctrl-C shall go on to do so.
        self._before = signal.getsignal(signal.SIGINT)
        in_main_thread = threading.current_thread() is threading.main_thread()
        self._holds = in_main_thread and callable(self._before)

    def __enter__(self) -> "Interrupts":
        if self._holds:
            signal.signal(signal.SIGINT, self._press)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._holds:
            signal.signal(signal.SIGINT, self._before)
        if self._pressed and error is None:
            raise KeyboardInterrupt

    @contextmanager
    def welcome(self) -> Iterator[None]:
        """A block that Ctrl-C may end."""
        try:
            self._welcome = True
            if self._pressed:
                self._interrupt()
            yield
        finally:
            self._welcome = False

    def _press(self, number: int, frame: FrameType | None) -> None:
        self._pressed = True
        if self._welcome:
            self._interrupt()

    def _interrupt(self) -> None:
        if not self._let_in:
            self._let_in, self._welcome = True, False
            raise KeyboardInterrupt
