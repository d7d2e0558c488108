"""Failures: let out of a task only what ends Invoke without a traceback."""

import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from invoke.exceptions import Exit

from cephtasks import settings
from cephtasks.errors import CephtasksError, Interrupted


@contextmanager
def one_line_failures() -> Iterator[None]:
    """Tell a failure in one line; being ended is as Ctrl-C."""
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, signal.default_int_handler)
    try:
        yield
    except CephtasksError:
        if settings.debugging():
            traceback.print_exc()
        raise
    except KeyboardInterrupt as error:
        raise Interrupted("stopped", "type the same again") from error
    except BrokenPipeError as error:
        # Whoever read our output has had enough; what is still buffered must not raise again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise Exit(code=141) from error
