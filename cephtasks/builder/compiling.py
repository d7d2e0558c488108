"""Compiling: run the builder on a source tree, from what is to be found wrong first to what it installed."""

import shutil
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from cephtasks import console
from cephtasks.builder import cache, contract, launcher
from cephtasks.builder.cache import CacheUse, RunLog
from cephtasks.builder.configured import Configuration, Decision, Record, decide, record_of
from cephtasks.builder.contract import OUR_BUILDER, Builder
from cephtasks.builder.failures import failure, not_started
from cephtasks.builder.jobs import jobs_for
from cephtasks.builder.log import Log
from cephtasks.builder.output import Output
from cephtasks.builder.screen import showing
from cephtasks.engine import Engine, EngineImage, RunSpec
from cephtasks.errors import BuildFolderForeign, CompileFailed, ContainerFailed, InstallTreeEmpty, Interrupted
from cephtasks.settings import Settings
from cephtasks.source import Source

_LINES_SHOWN = 20


@dataclass(frozen=True)
class Compiled:
    """What a run of the builder made: the install tree, the build folder; its time in seconds, its log.

    `use` is what it found in the cache, None where it did not compile through ccache; `warnings` are those
    of compilers and CMake.
    """

    tree: Path
    build: Path
    seconds: float
    log: Path
    use: CacheUse | None = None
    warnings: int = 0


def preflight(
    settings: Settings, engine: Engine, extra_env: Sequence[str], *, trusted: bool = False
) -> Builder:
    """Find what would fail a compile before anything slow is started, a clone for one; what compiles.

    A `trusted` image gets the engine's socket. Raises BuildArgumentInvalid, ImageNotFound, LauncherMissing.
    """
    contract.command(settings)
    contract.pairs(extra_env)
    found = require_image(settings, engine)
    elsewhere = sum(host.slots for host in settings.build_hosts)
    jobs = jobs_for(engine.capacity(), settings.memory_per_job, settings.build_threads, elsewhere)
    socket = (engine.socket or contract.SOCKET) if trusted else ""
    return Builder(found, launcher.choose(settings, found, engine), jobs, socket)


def require_image(settings: Settings, engine: Engine) -> EngineImage:
    """The builder image; raises ImageNotFound with the way to get it."""
    image = settings.builder_image
    hint = "invoke builder.image" if image == OUR_BUILDER else f"docker pull {image}"
    return engine.require_image(image, hint)


def compile(  # noqa: A001 — the verb that the task has
    source: Source,
    settings: Settings,
    engine: Engine,
    extra_env: Sequence[str] = (),
    *,
    trusted: bool = False,
) -> Compiled:
    """Run BUILD_COMMAND on the source in the builder image, its output live on stderr and in a log.

    Another process that does so is waited for.

    Raises BuildArgumentInvalid, ImageNotFound, LauncherMissing, BuildFolderForeign, CacheUnwritable,
    CompileFailed, InstallTreeEmpty, Interrupted, StateUnwritable, ContainerFailed.
    """
    builder = preflight(settings, engine, extra_env, trusted=trusted)
    settings = contract.as_told(settings, extra_env)
    with nullcontext() if engine.dry else record_of(source.folder, settings.state_dir).turn():
        return _compile(source, settings, engine, extra_env, builder)


def _compile(
    source: Source, settings: Settings, engine: Engine, extra_env: Sequence[str], builder: Builder
) -> Compiled:
    build, user = source.folder / "build", contract.user_of(source.folder)
    _require_own(build, user)
    if settings.clean:
        _clean(build, engine)
    record, wanted, decision = decided(source, settings, builder, extra_env)
    spec = contract.run_spec(source, settings, builder, decision.configure, extra_env)
    doing = "configuring" if decision.configure else "not configuring"
    console.say(f"{settings.build_command}: {doing}, {decision.why}")
    if engine.dry:
        engine.run(spec, console.stream, console.stream)
        return Compiled(build / "install", build, 0.0, Log(settings.state_dir).path)
    anew = decision.configure or not _is_configured(build, settings)
    if anew:
        record.forget()
    compiled = _run(spec, settings, builder, engine, build)
    _require_filled(compiled, settings)
    if anew:
        record.keep(wanted)
    return compiled


def decided(
    source: Source, settings: Settings, builder: Builder, extra_env: Sequence[str]
) -> tuple[Record, Configuration, Decision]:
    """How the tree was configured, how it is to be, and whether that asks for the configure step."""
    record = record_of(source.folder, settings.state_dir)
    wanted = contract.configuration(settings, builder, extra_env)
    configured = _is_configured(source.folder / "build", settings)
    return record, wanted, decide(settings.reconfigure, wanted, record.read(), configured=configured)


def make_cache(spec: RunSpec) -> Path | None:
    """Make the folder of the cache where a container is to have one; that folder."""
    folder = next((mount.source for mount in spec.mounts if mount.target == cache.MOUNTED_AT), None)
    if folder:
        cache.make(folder, spec.user)
    return folder


def _is_configured(build: Path, settings: Settings) -> bool:
    return (build / "CMakeCache.txt").exists() and not settings.clean


def _run(spec: RunSpec, settings: Settings, builder: Builder, engine: Engine, build: Path) -> Compiled:
    """Run the container, its output shown and in a new log, and tell by errors how it did not end well."""
    folder = make_cache(spec)
    started = time.monotonic()
    output = Output(started)
    with Log(settings.state_dir) as log, RunLog(folder) as run_log:
        spec = replace(spec, env={**spec.env, **run_log.variables})
        try:
            with showing(output, log.add) as (on_stdout, on_stderr):
                result = engine.run(spec, on_stdout, on_stderr)
        except KeyboardInterrupt as error:
            fact = f"{settings.build_command} was stopped after {_since(started)}; its log is {log.path}"
            raise Interrupted(fact, "type the same again, it continues") from error
        except ContainerFailed as error:
            raise not_started(error, spec) from error
        use = run_log.use()
    if result.exit_code:
        lines = log.last_lines()
        _repeat(output, log.path, lines)
        lines = [*output.errors, *lines]
        raise failure(result, settings, builder.jobs.all, _since(started), log.path, lines)
    seconds = time.monotonic() - started
    return Compiled(build / "install", build, seconds, log.path, use, output.warnings)


def _repeat(output: Output, log: Path, lines: Sequence[bytes]) -> None:
    """Say once more what is wrong, or where that cannot be told from the rest what was said last."""
    console.say(f"the first errors of {log}:" if output.errors else f"the last lines of {log}:")
    for line in output.errors or lines[-_LINES_SHOWN:]:
        console.stream(line + b"\n")
    if output.more_errors:
        console.say(f"and {output.more_errors} more")


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


def _require_filled(compiled: Compiled, settings: Settings) -> None:
    tree = compiled.tree
    if not any(path.is_symlink() or not path.is_dir() for path in tree.rglob("*")):
        raise InstallTreeEmpty(
            f"{settings.build_command} ended well but installed nothing in {tree}", f"less {compiled.log}"
        )


def _since(started: float) -> str:
    return f"{time.monotonic() - started:.1f} s"
