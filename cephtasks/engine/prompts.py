"""Prompts: run a container on the terminal that we are on, as if it were a program of this machine."""

import os
import select
import signal
import sys
import termios
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from cephtasks.engine.containers import RunSpec, existing, failing
from cephtasks.engine.troubles import FAILURES

_CHUNK = 65536
# Docker's own, ctrl-p ctrl-q, would swallow what a shell takes for the last command.
_DETACH = "ctrl-^,ctrl-_,ctrl-^"


def interact(api: Any, spec: RunSpec) -> None:
    """Run a container that has a `terminal` on ours; it is removed however this ends.

    Raises ImageNotFound, ContainerFailed.
    """
    with existing(api, spec) as name, failing(f"{spec.image} could not be run"):
        asked = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1, "detachKeys": _DETACH}
        attached = api.attach_socket(name, params=asked)
        try:
            api.start(name)
            with _raw(sys.stdin.fileno()), _sized(api, name):
                _pass_on(getattr(attached, "_sock", attached))
        finally:
            attached.close()


def _pass_on(far: Any) -> None:
    """What is typed to the container, and what it says to the terminal, until it says no more."""
    ended, end = os.pipe()

    def typed() -> None:
        while sys.stdin.fileno() in select.select([sys.stdin.fileno(), ended], [], [])[0]:
            with suppress(OSError):  # it ended just now, which the other side hears too
                far.sendall(os.read(sys.stdin.fileno(), _CHUNK))

    typing = threading.Thread(target=typed, daemon=True)
    typing.start()
    try:
        while said := far.recv(_CHUNK):
            sys.stdout.buffer.write(said)
            sys.stdout.buffer.flush()
    finally:
        os.close(end)
        typing.join()
        os.close(ended)


@contextmanager
def _raw(terminal: int) -> Iterator[None]:
    """Pass every key on, Ctrl-C too: it is for what runs in the container."""
    before = termios.tcgetattr(terminal)
    try:
        tty.setraw(terminal)
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


@contextmanager
def _sized(api: Any, name: str) -> Iterator[None]:
    """Give the container's terminal the size of ours, whenever that changes."""

    def resize(number: int = 0, frame: FrameType | None = None) -> None:
        columns, lines = os.get_terminal_size(sys.stdout.fileno())
        with suppress(*FAILURES):  # it ended just now
            api.resize(name, lines, columns)

    before = signal.signal(signal.SIGWINCH, resize)
    try:
        resize()
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)
