"""Builder: compile and install a source tree in the builder image."""

import hashlib
import json
import os
import re
import secrets
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from cephtasks import console
from cephtasks.engine import Engine, Mount, RunResult, RunSpec
from cephtasks.errors import (
    BuildArgumentInvalid,
    CompileFailed,
    ContainerFailed,
    InstallTreeEmpty,
    Interrupted,
    StateUnwritable,
)
from cephtasks.settings import Settings
from cephtasks.source import Source, without_credentials

OUR_BUILDER = "cephbuilder/ceph:latest"
MOUNTED_AT = "/ceph"
_PAIR = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)
_LINES_SHOWN = 20
_TAIL_BYTES = 16384
_NOT_EXECUTABLE, _NOT_FOUND, _KILLED = 126, 127, 137


@dataclass(frozen=True)
class Compiled:
    """What a run of the builder made: the install tree, the build folder, how long it took, its log."""

    tree: Path
    build: Path
    seconds: float
    log: Path


def preflight(settings: Settings, engine: Engine, extra_env: Sequence[str]) -> None:
    """Find what would fail a compile before anything slow is started, a clone for one.

    Raises BuildArgumentInvalid, ImageNotFound.
    """
    _command(settings)
    _pairs(extra_env)
    image = settings.builder_image
    hint = "invoke builder.image" if image == OUR_BUILDER else f"docker pull {image}"
    engine.require_image(image, hint)


def compile(  # noqa: A001 — the verb that the task has
    source: Source, settings: Settings, engine: Engine, extra_env: Sequence[str] = ()
) -> Compiled:
    """Run BUILD_COMMAND on the source in the builder image, its output live on stderr and in a log.

    Raises BuildArgumentInvalid, ImageNotFound, CompileFailed, InstallTreeEmpty, Interrupted,
    StateUnwritable, ContainerFailed.
    """
    preflight(settings, engine, extra_env)
    build = source.folder / "build"
    record = _record(settings, source)
    why = why_configure(
        settings, cached=(build / "CMakeCache.txt").exists(), last_flags=_recorded_flags(record)
    )
    spec = run_spec(source, settings, user_of(source.folder), why is not None, extra_env)
    console.say(f"{settings.build_command}: " + (f"configuring, {why}" if why else "not configuring again"))
    started = time.monotonic()
    log = _run(spec, settings, engine)
    seconds = time.monotonic() - started
    tree = build / "install"
    if not engine.dry:
        _require_filled(tree, settings, log)
        if why:
            _write_record(record, source, settings)
    return Compiled(tree, build, seconds, log)


def run_spec(
    source: Source, settings: Settings, user: str, configure: bool, extra_env: Sequence[str] = ()
) -> RunSpec:
    """The container that compiles: pure, and the environment is the contract of the old builder images.

    SHA1_OR_REF is given empty whatever it is set to: with a ref, old images clean and reset the tree,
    which is ours to switch. Raises BuildArgumentInvalid.
    """
    words = _command(settings)
    env = {
        "GIT_URL": without_credentials(settings.git_url),
        "SHA1_OR_REF": "",
        "RECONFIGURE": _word(configure),
        "CLEAN": _word(settings.clean),
        "CONFIGURE_FLAGS": settings.configure_flags,
        "BUILD_THREADS": str(settings.build_threads),
        "INSTALL_HEADERS": _word(settings.install_headers),
        "IMAGE_NAME": settings.image_name,
        "GENERATE_DOCKER_IMAGE": "false",
        # The calling user is unknown in the image and has no home there.
        "HOME": "/tmp",  # noqa: S108 — in the container
    }
    return RunSpec(
        settings.builder_image,
        command=words[1:],
        entrypoint=words[:1],
        env=env | _pairs(extra_env),
        mounts=(Mount(source.folder.resolve(), MOUNTED_AT),),
        user=user,
        workdir=MOUNTED_AT,
        network="bridge",
        purpose="compile",
    )


def why_configure(settings: Settings, *, cached: bool, last_flags: str | None) -> str | None:
    """Why the configure step is to run, or None where it need not.

    `cached` tells whether the build folder was ever configured, `last_flags` what it was by us.
    """
    if settings.reconfigure != "auto":
        return "as RECONFIGURE asks" if settings.reconfigure == "true" else None
    if settings.clean:
        return "as CLEAN removes the build folder"
    if not cached:
        return "as it never was"
    if last_flags is None:
        return "as it is not known with which flags it was"
    return "as CONFIGURE_FLAGS changed" if last_flags != settings.configure_flags else None


def user_of(folder: Path) -> str:
    """`uid:gid` to compile as: the calling user, or for root the folder's owner, whose files they become."""
    if os.getuid():
        return f"{os.getuid()}:{os.getgid()}"
    owner = folder.stat()
    return f"{owner.st_uid}:{owner.st_gid}"


def _word(flag: bool) -> str:
    return "true" if flag else "false"


def _command(settings: Settings) -> tuple[str, ...]:
    try:
        words = tuple(shlex.split(settings.build_command))
    except ValueError as error:
        fact = f"BUILD_COMMAND {settings.build_command!r} cannot be split into words: {error}"
        raise BuildArgumentInvalid(fact, "invoke settings") from error
    if not words or not words[0]:
        raise BuildArgumentInvalid("BUILD_COMMAND names no command", "BUILD_COMMAND=build-cmake")
    return words


def _pairs(extra_env: Sequence[str]) -> dict[str, str]:
    pairs = {}
    for given in extra_env:
        pair = _PAIR.fullmatch(given)
        if pair is None:
            name = given.partition("=")[0]
            raise BuildArgumentInvalid(f"--env {name!r} is not KEY=VALUE", "--env KEY=VALUE")
        pairs[pair[1]] = pair[2]
    if pairs.get("SHA1_OR_REF"):
        raise BuildArgumentInvalid(
            "--env SHA1_OR_REF would let a builder clean the source tree",
            f"SHA1_OR_REF={pairs['SHA1_OR_REF']} invoke compile",
        )
    return pairs


def _run(spec: RunSpec, settings: Settings, engine: Engine) -> Path:
    """Run the container, its output in a new log, and tell by errors how it did not end well."""
    started = time.monotonic()
    folder = settings.state_dir / "logs"
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    path = folder / f"compile-{moment}-{secrets.token_hex(3)}.log"
    if engine.dry:
        engine.run(spec, console.stream, console.stream)
        return path
    try:
        folder.mkdir(parents=True, exist_ok=True)
        log = path.open("xb", buffering=0)
    except OSError as error:
        raise _unwritable(path, error) from error
    with log:

        def tee(chunk: bytes) -> None:
            _append(log, chunk)
            console.stream(chunk)

        try:
            result = engine.run(spec, tee, tee)
        except KeyboardInterrupt as error:
            fact = f"{settings.build_command} was stopped after {_since(started)}; its log is {path}"
            raise Interrupted(fact, "type the same again, it continues") from error
        except ContainerFailed as error:
            raise _not_started(error, spec) from error
    if result.exit_code:
        console.say(f"the last lines of {path}:")
        console.stream(_tail(path))
        raise _failure(result, settings, _since(started), path)
    return path


def _failure(result: RunResult, settings: Settings, lasted: str, log: Path) -> CompileFailed:
    command, image = settings.build_command, settings.builder_image
    if result.oom_killed or result.exit_code == _KILLED:
        fewer = max(1, settings.build_threads // 2)
        fact = f"{command} ran out of memory after {lasted} with BUILD_THREADS={settings.build_threads}"
        return CompileFailed(fact, f"BUILD_THREADS={fewer} invoke compile, or less {log}")
    if result.exit_code in (_NOT_FOUND, _NOT_EXECUTABLE):
        lacks = "did not find" if result.exit_code == _NOT_FOUND else "could not execute"
        fact = f"{command} exited {result.exit_code} after {lasted}: it {lacks} a command in {image}"
        return CompileFailed(fact, f"less {log}")
    return CompileFailed(f"{command} exited {result.exit_code} after {lasted} in {image}", f"less {log}")


def _not_started(error: ContainerFailed, spec: RunSpec) -> CompileFailed | ContainerFailed:
    """The runtime names a command that it cannot execute in quotes; other refusals stay what they are."""
    word = spec.entrypoint[0] if spec.entrypoint else ""
    if f'exec: "{word}"' in error.fact:
        fact = f"{spec.image} has no command {word} that can be executed"
        return CompileFailed(fact, f"BUILDER_IMAGE={OUR_BUILDER} invoke compile, or set BUILD_COMMAND")
    return error


def _require_filled(tree: Path, settings: Settings, log: Path) -> None:
    if not any(path.is_symlink() or not path.is_dir() for path in tree.rglob("*")):
        raise InstallTreeEmpty(
            f"{settings.build_command} ended well but installed nothing in {tree}", f"less {log}"
        )


def _append(log: BinaryIO, chunk: bytes) -> None:
    try:
        log.write(chunk)
    except OSError as error:
        raise _unwritable(Path(log.name), error) from error


def _unwritable(path: Path, error: OSError) -> StateUnwritable:
    return StateUnwritable(f"cannot write {path}: {error.strerror}", "STATE_DIR=FOLDER invoke compile")


def _tail(log: Path) -> bytes:
    """The last lines of a log, ended by a newline."""
    with log.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
        lines = file.read().splitlines()
    return b"".join(line + b"\n" for line in lines[-_LINES_SHOWN:])


def _since(started: float) -> str:
    return f"{time.monotonic() - started:.1f}s"


def _record(settings: Settings, source: Source) -> Path:
    """The file that remembers how the source folder was configured."""
    key = hashlib.sha256(os.fsencode(source.folder.resolve())).hexdigest()[:16]
    return settings.state_dir / "configured" / f"{key}.json"


def _recorded_flags(record: Path) -> str | None:
    try:
        flags = json.loads(record.read_bytes())["configure_flags"]
    except (OSError, ValueError, KeyError, TypeError):
        return None  # never written, or damaged: then it is configured again, which is always right
    return flags if isinstance(flags, str) else None


def _write_record(record: Path, source: Source, settings: Settings) -> None:
    document = {"source": str(source.folder.resolve()), "configure_flags": settings.configure_flags}
    beside = record.with_suffix(f".{secrets.token_hex(3)}")
    try:
        record.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(json.dumps(document))
        beside.replace(record)
    except OSError as error:
        raise _unwritable(record, error) from error
