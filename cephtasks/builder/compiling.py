"""Compiling: run the builder on a source tree, from what is to be found wrong first to what it installed."""

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cephtasks import console
from cephtasks.builder import cache, contract, launcher
from cephtasks.builder.cache import CacheUse, RunLog
from cephtasks.builder.configured import record_of, why_configure
from cephtasks.builder.contract import OUR_BUILDER, Builder
from cephtasks.builder.failures import failure, not_started
from cephtasks.builder.jobs import jobs_for
from cephtasks.builder.log import Log
from cephtasks.engine import Engine, RunSpec
from cephtasks.errors import BuildFolderForeign, CompileFailed, ContainerFailed, InstallTreeEmpty, Interrupted
from cephtasks.settings import Settings
from cephtasks.source import Source

_LINES_SHOWN = 20


@dataclass(frozen=True)
class Compiled:
    """What a run of the builder made: the install tree, the build folder; its time in seconds, its log.

    `use` is what it found in the cache, None where it did not compile through ccache.
    """

    tree: Path
    build: Path
    seconds: float
    log: Path
    use: CacheUse | None = None


def preflight(settings: Settings, engine: Engine, extra_env: Sequence[str]) -> Builder:
    """Find what would fail a compile before anything slow is started, a clone for one; what compiles.

    Raises BuildArgumentInvalid, ImageNotFound, LauncherMissing.
    """
    contract.command(settings)
    contract.pairs(extra_env)
    image = settings.builder_image
    hint = "invoke builder.image" if image == OUR_BUILDER else f"docker pull {image}"
    found = engine.require_image(image, hint)
    jobs = jobs_for(engine.capacity(), settings.memory_per_job, settings.build_threads)
    return Builder(found, launcher.choose(settings, found, engine), jobs)


def compile(  # noqa: A001 — the verb that the task has
    source: Source, settings: Settings, engine: Engine, extra_env: Sequence[str] = ()
) -> Compiled:
    """Run BUILD_COMMAND on the source in the builder image, its output live on stderr and in a log.

    Raises BuildArgumentInvalid, ImageNotFound, LauncherMissing, BuildFolderForeign, CacheUnwritable,
    CompileFailed, InstallTreeEmpty, Interrupted, StateUnwritable, ContainerFailed.
    """
    builder = preflight(settings, engine, extra_env)
    settings = contract.as_told(settings, extra_env)
    build, user = source.folder / "build", contract.user_of(source.folder)
    _require_own(build, user)
    if settings.clean:
        _clean(build, engine)
    record = record_of(source.folder, settings.state_dir)
    wanted = contract.configuration(settings, builder, extra_env)
    if (build / "CMakeCache.txt").exists() and not settings.clean:
        why = why_configure(settings.reconfigure, wanted, record.read())
    else:
        why = "as it never was"
    spec = contract.run_spec(source, settings, builder, why is not None, extra_env)
    console.say(f"{settings.build_command}: " + (f"configuring, {why}" if why else "configured as before"))
    if engine.dry:
        engine.run(spec, console.stream, console.stream)
        return Compiled(build / "install", build, 0.0, Log(settings.state_dir).path)
    if why:
        record.forget()
    started = time.monotonic()
    folder = cache.folder_for(settings, user) if launcher.is_caching(builder.launcher) else None
    if folder:
        cache.make(folder, user)
    log, use = _run(spec, settings, builder, engine, folder)
    _require_filled(build / "install", settings, log)
    if why:
        record.keep(wanted)
    return Compiled(build / "install", build, time.monotonic() - started, log, use)


def _run(
    spec: RunSpec, settings: Settings, builder: Builder, engine: Engine, cache_folder: Path | None
) -> tuple[Path, CacheUse | None]:
    """Run the container, its output in a new log, and tell by errors how it did not end well."""
    started = time.monotonic()
    with Log(settings.state_dir) as log, RunLog(cache_folder) as run_log:
        try:
            result = engine.run(replace(spec, env={**spec.env, **run_log.variables}), log.add, log.add)
        except KeyboardInterrupt as error:
            fact = f"{settings.build_command} was stopped after {_since(started)}; its log is {log.path}"
            raise Interrupted(fact, "type the same again, it continues") from error
        except ContainerFailed as error:
            raise not_started(error, spec) from error
        use = run_log.use()
    if result.exit_code:
        lines = log.last_lines()
        console.say(f"the last lines of {log.path}:")
        console.stream(b"".join(line + b"\n" for line in lines[-_LINES_SHOWN:]))
        raise failure(result, settings, builder.jobs.all, _since(started), log.path, lines)
    return log.path, use


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
