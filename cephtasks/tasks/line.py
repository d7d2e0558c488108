"""Line: run the tasks of one typed line, and see to its end what they left under way."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from invoke.exceptions import Exit
from invoke.executor import Executor

from cephtasks import console
from cephtasks.errors import CephtasksError, Interrupted
from cephtasks.tasks.failures import one_line_failures

Wait = Callable[[], None]


class UnderWay:
    """What tasks began, and tasks after them need not wait for, as long as a line of tasks runs."""

    def __init__(self) -> None:
        self.in_line = False
        self._left: list[tuple[Wait, ExitStack]] = []

    def leave(self, wait: Wait, opened: ExitStack) -> None:
        """Have `wait` called later, and then what was opened for it closed."""
        self._left.append((wait, opened))
        if not self.in_line:
            self.settle()

    def settle(self) -> None:
        """Wait for all of it; raises its first failure."""
        while self._left:
            wait, opened = self._left.pop(0)
            with opened:
                wait()


under_way = UnderWay()


class Line(Executor):
    """Invoke's executor, named in invoke.yaml, for a line of tasks that ends when all of it is done."""

    def execute(self, *tasks: Any) -> Any:
        """Run the tasks; what was left under way fails the line as a task does."""
        under_way.in_line = True
        try:
            done = super().execute(*tasks)
        except Interrupted:
            raise
        except Exit:
            _settle_after_failure()
            raise
        with one_line_failures():
            under_way.settle()
        return done


def _settle_after_failure() -> None:
    """See to its end what a task that went well left under way; a later failure goes before its."""
    with one_line_failures():
        try:
            under_way.settle()
        except CephtasksError as error:
            console.warn(error.fact)
