"""Base: a failure as Invoke prints it, in two lines and without a traceback."""

from collections.abc import Sequence

from invoke.exceptions import Exit


class CephtasksError(Exit):
    """A failure in one line (what, where) with a hint of what to type next."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        self.fact = message
        self.hint = hint
        super().__init__(self._text([message], hint), code=self.exit_code)

    @staticmethod
    def _text(facts: Sequence[str], hint: str) -> str:
        lines = [f"error: {fact}" for fact in facts]
        return "\n".join([*lines, f"hint: {hint}"] if hint else lines)

    def __str__(self) -> str:
        return self.message or ""
