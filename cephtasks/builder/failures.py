"""Failures: tell what it means that a builder did not end well."""

import re
from collections.abc import Sequence
from pathlib import Path

from cephtasks.builder.contract import OUR_BUILDER
from cephtasks.engine import RunResult, RunSpec
from cephtasks.errors import CompileFailed, ContainerFailed
from cephtasks.settings import Settings

_NOT_EXECUTABLE, _NOT_FOUND, _KILLED = 126, 127, 137
# What gcc, old gcc and clang say when the kernel kills the compiler proper.
_COMPILER_KILLED = re.compile(
    rb"fatal error: Killed signal|internal compiler error: Killed|unable to execute command: Killed"
)


def failure(
    result: RunResult, settings: Settings, jobs: int, lasted: str, log: Path, lines: Sequence[bytes]
) -> CompileFailed:
    """What the exit code and the last lines say; `lasted` is a time as people read it."""
    name, image = settings.build_command, settings.builder_image
    killed = result.exit_code == _KILLED or any(map(_COMPILER_KILLED.search, lines))
    if result.oom_killed or killed:
        why = "ran out of memory" if result.oom_killed else "was killed, most likely for want of memory,"
        fact = f"{name} {why} after {lasted} with BUILD_THREADS={jobs}"
        mend = f"BUILD_THREADS={jobs // 2} invoke compile" if jobs > 1 else "give the engine more memory"
        return CompileFailed(fact, f"{mend}, or less {log}")
    if result.exit_code in (_NOT_FOUND, _NOT_EXECUTABLE):
        lacks = "did not find" if result.exit_code == _NOT_FOUND else "could not execute"
        fact = f"{name} exited {result.exit_code} after {lasted}: it {lacks} a command in {image}"
        return CompileFailed(fact, f"less {log}")
    return CompileFailed(f"{name} exited {result.exit_code} after {lasted} in {image}", f"less {log}")


def not_started(error: ContainerFailed, spec: RunSpec) -> CompileFailed | ContainerFailed:
    """The runtime names a command that it cannot execute in quotes; other refusals stay what they are."""
    word = spec.entrypoint[0] if spec.entrypoint else ""
    if f'exec: "{word}"' not in error.fact:
        return error
    mend = (
        "invoke builder.image" if spec.image == OUR_BUILDER else f"BUILDER_IMAGE={OUR_BUILDER} invoke compile"
    )
    fact = f"{spec.image} has no command {word} that can be executed"
    return CompileFailed(fact, f"{mend}, or set BUILD_COMMAND")
