"""Prompt: open a shell in the builder, in a container that is in all else the one that compiles."""

from collections.abc import Sequence
from dataclasses import replace

from cephtasks.builder import compiling, contract
from cephtasks.engine import Engine
from cephtasks.settings import Settings
from cephtasks.source import Source

_SHELL = ("sh", "-c", "if command -v bash >/dev/null; then exec bash; else exec sh; fi")


def prompt(
    source: Source,
    settings: Settings,
    engine: Engine,
    extra_env: Sequence[str] = (),
    *,
    trusted: bool = False,
) -> None:
    """Open the shell on this terminal, until it ends.

    Raises BuildArgumentInvalid, ImageNotFound, LauncherMissing, CacheUnwritable, ContainerFailed.
    """
    builder = compiling.preflight(settings, engine, extra_env, trusted=trusted)
    settings = contract.as_told(settings, extra_env)
    _, _, decision = compiling.decided(source, settings, builder, extra_env)
    spec = contract.run_spec(source, settings, builder, decision.configure, extra_env)
    if not engine.dry:
        compiling.make_cache(spec)
    engine.interact(replace(spec, entrypoint=_SHELL, command=(), purpose="shell", terminal=True))
