"""Builder: compile and install a source tree in the builder image."""

from cephtasks.builder.compiling import Compiled, compile, preflight  # noqa: A004 — the task's verb
from cephtasks.builder.contract import MOUNTED_AT, OUR_BUILDER
from cephtasks.builder.prompt import prompt

__all__ = ["MOUNTED_AT", "OUR_BUILDER", "Compiled", "compile", "preflight", "prompt"]
