"""Compiling: run the builder on a source tree, from what is to be found wrong first to what it installed."""

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cephtasks import console
from cephtasks.builder import contract
from cephtasks.builder.configured import record_of, why_configure
from cephtasks.builder.contract import OUR_BUILDER
from cephtasks.builder.failures import failure, not_started
from cephtasks.builder.log import Log
from cephtasks.engine import Engine, EngineImage, RunSpec
from cephtasks.errors import BuildFolderForeign, CompileFailed, ContainerFailed, InstallTreeEmpty, Interrupted
from cephtasks.settings import Settings
from cephtasks.source import Source

_LINES_SHOWN = 20


@dataclass(frozen=True)
class Compiled:
    """What a run of the builder made: the install tree, the build folder, how long it took, its log."""

    tree: Path
    build: Path
    seconds: float
    log: Path


def preflight(settings: Settings, engine: Engine, extra_env: Sequence[str]) -> EngineImage:
    """Find what would fail a compile before anything slow is started, a clone for one; the builder image.

    Raises BuildArgumentInvalid, ImageNotFound.
    """
    contract.command(settings)
    contract.pairs(extra_env)
    image = settings.builder_image
    hint = "invoke builder.image" if image == OUR_BUILDER else f"docker pull {image}"
    return engine.require_image(image, hint)


def compile(  # noqa: A001 — the verb that the task has
    source: Source, settings: Settings, engine: Engine, extra_env: Sequence[str] = ()
) -> Compiled:
    """Run BUILD_COMMAND on the source in the builder image, its output live on stderr and in a log.

    Raises BuildArgumentInvalid, ImageNotFound, BuildFolderForeign, CompileFailed, InstallTreeEmpty,
    Interrupted, StateUnwritable, ContainerFailed.
    """
    image = preflight(settings, engine, extra_env)
    settings = contract.as_told(settings, extra_env)
    build = source.folder / "build"
    _require_own(build, contract.user_of(source.folder))
    if settings.clean:
        _clean(build, engine)
    record = record_of(source.folder, settings.state_dir)
    cached = (build / "CMakeCache.txt").exists() and not settings.clean
    why = why_configure(settings, cached=cached, last_flags=record.flags())
    spec = contract.run_spec(source, settings, image, why is not None, extra_env)
    console.say(f"{settings.build_command}: " + (f"configuring, {why}" if why else "not configuring again"))
    if engine.dry:
        engine.run(spec, console.stream, console.stream)
        return Compiled(build / "install", build, 0.0, Log(settings.state_dir).path)
    if why:
        record.forget()
    started = time.monotonic()
    log = _run(spec, settings, engine)
    _require_filled(build / "install", settings, log)
    if why:
        record.keep(settings.configure_flags)
    return Compiled(build / "install", build, time.monotonic() - started, log)


def _run(spec: RunSpec, settings: Settings, engine: Engine) -> Path:
    """Run the container, its output in a new log, and tell by errors how it did not end well."""
    started = time.monotonic()
    with Log(settings.state_dir) as log:
        try:
            result = engine.run(spec, log.add, log.add)
        except KeyboardInterrupt as error:
            fact = f"{settings.build_command} was stopped after {_since(started)}; its log is {log.path}"
            raise Interrupted(fact, "type the same again, it continues") from error
        except ContainerFailed as error:
            raise not_started(error, spec) from error
    if result.exit_code:
        lines = log.last_lines()
        console.say(f"the last lines of {log.path}:")
        console.stream(b"".join(line + b"\n" for line in lines[-_LINES_SHOWN:]))
        raise failure(result, settings, _since(started), log.path, lines)
    return log.path


def _require_own(build: Path, user: str) -> None:
    """A build in the old way, as root, leaves a folder that nobody else can go on with."""
    if build.exists() and build.stat().st_uid == 0 and not user.startswith("0:"):
        raise BuildFolderForeign(
            f"{build} belongs to root, but compiling is done as {user}", f"sudo chown -R {user} {build}"
        )


def _clean(build: Path, engine: Engine) -> None:
    """Remove what earlier builds made; a folder that cmake never used may hold the project's own files."""
    made = build if (build / "CMakeCache.txt").exists() else build / "install"
    if not made.exists():
        return
    if engine.dry:
        console.say(f"would remove {made}")
        return
    console.say(f"removing {made}")
    try:
        shutil.rmtree(made)
    except OSError as error:
        raise CompileFailed(
            f"cannot remove {made}: {error.strerror or error}", f"sudo rm -r {made}"
        ) from error


def _require_filled(tree: Path, settings: Settings, log: Path) -> None:
    if not any(path.is_symlink() or not path.is_dir() for path in tree.rglob("*")):
        raise InstallTreeEmpty(
            f"{settings.build_command} ended well but installed nothing in {tree}", f"less {log}"
        )


def _since(started: float) -> str:
    return f"{time.monotonic() - started:.1f} s"
