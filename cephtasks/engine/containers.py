"""Containers: run one to its end, its output live, or start one that goes on, and take it away."""

import csv
import io
import shlex
import tarfile
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker.errors
import docker.types

from cephtasks import console
from cephtasks.engine.interrupts import Interrupts
from cephtasks.engine.troubles import FAILURES, one_line
from cephtasks.errors import ContainerFailed, ImageNotFound

LABEL = "cephtasks"
_HINT = "docker info"

OnOutput = Callable[[bytes], None]
Published = Mapping[int, tuple[str, int]]  # a port inside, and the address and port where it is reached


@dataclass(frozen=True)
class Mount:
    """A folder of the host and where the container sees it."""

    source: Path
    target: str
    read_only: bool = False

    def option(self) -> str:
        """The value of `docker run --mount`: a line of CSV, so a path may hold anything."""
        line = io.StringIO()
        fields = ["type=bind", f"source={self.source}", f"target={self.target}"]
        csv.writer(line, lineterminator="").writerow(fields + ["readonly"] * self.read_only)
        return line.getvalue()


@dataclass(frozen=True)
class RunSpec:
    """One container to run: what `docker run` would be told.

    `groups` are those of the user beside its own. `capabilities` are the only ones that anything in the
    container has or can gain; None leaves that to the engine. `timeout` is in seconds. `volumes` are those of
    the engine, by name, and where the container sees them; it makes what is not there. `passable` names
    folders of the image that only root may enter there, and anybody may in this container. What
    `looks_only` changes nothing that lasts, so a dry run runs it too; what has a `terminal` is typed to.
    """

    image: str
    command: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] | None = None
    env: Mapping[str, str] = field(default_factory=dict, hash=False)
    mounts: tuple[Mount, ...] = ()
    volumes: Mapping[str, str] = field(default_factory=dict, hash=False)
    user: str = ""
    groups: tuple[str, ...] = ()
    capabilities: tuple[str, ...] | None = None
    workdir: str = ""
    network: str = "none"
    purpose: str = "run"
    timeout: float | None = None
    passable: tuple[str, ...] = ()
    looks_only: bool = False
    terminal: bool = False

    def words(self) -> list[str]:
        """The words of the `docker run` line that does the same, but for what only we know."""
        words = ["docker", "run", "--rm", *(["--interactive", "--tty"] if self.terminal else [])]
        words += [f"--network={self.network}"]
        words += [f"--user={self.user}"] if self.user else []
        words += [f"--group-add={group}" for group in self.groups]
        if self.capabilities is not None:
            words += ["--security-opt=no-new-privileges", "--cap-drop=ALL"]
            words += [f"--cap-add={capability}" for capability in self.capabilities]
        words += [f"--workdir={self.workdir}"] if self.workdir else []
        words += [f"--env={name}={value}" for name, value in self.env.items()]
        words += [f"--mount={mount.option()}" for mount in self.mounts]
        words += [f"--mount=type=volume,source={name},target={at}" for name, at in self.volumes.items()]
        first, rest = (self.entrypoint[:1], self.entrypoint[1:]) if self.entrypoint else ((), ())
        words += [f"--entrypoint={word}" for word in first]
        return [*words, self.image, *rest, *self.command]

    def command_line(self) -> str:
        """The `docker run` line, to paste into a shell."""
        return shlex.join(self.words())


@dataclass(frozen=True)
class RunResult:
    """How a container ended."""

    exit_code: int
    oom_killed: bool = False
    timed_out: bool = False


def run(
    api: Any,
    spec: RunSpec,
    on_stdout: OnOutput,
    on_stderr: OnOutput,
    keep: Callable[[str], None] = lambda name: None,
) -> RunResult:
    """Run a container to its end; it is removed however this ends.

    Where it ended well `keep` gets its name before. Raises ImageNotFound, ContainerFailed.
    """
    with existing(api, spec) as name:
        result = _attend(api, name, spec, on_stdout, on_stderr)
        if result.exit_code == 0:
            with failing(f"no image can be made of what {spec.image} became"):
                keep(name)
        return result


@contextmanager
def existing(api: Any, spec: RunSpec) -> Iterator[str]:
    """A container that is made and not yet started, by its name, for as long as the block lasts.

    Raises ImageNotFound, ContainerFailed.
    """
    name = f"cephtasks-{spec.purpose}-{uuid.uuid4().hex[:12]}"
    with Interrupts() as interrupts:
        try:
            _create(api, name, spec)
            with interrupts.welcome():
                yield name
        finally:
            _remove(api, name)


def start(api: Any, name: str, spec: RunSpec, published: Published) -> None:
    """Start a container that goes on running; none is left where it cannot be started.

    Raises ImageNotFound, ContainerFailed.
    """
    with Interrupts() as interrupts:
        _create(api, name, spec, published)  # outside, for a name that is taken is not ours to remove
        try:
            with interrupts.welcome(), failing(f"{spec.image} could not be started"):
                api.start(name)
        except BaseException:
            _remove(api, name)
            raise


def running(api: Any, name: str) -> str:
    """The id of the image that the container of that name runs, or nothing; raises ContainerFailed."""
    with failing(f"container {name} cannot be looked at"):
        try:
            found = api.inspect_container(name)
        except docker.errors.NotFound:
            return ""
    return str(found["Image"]) if found["State"]["Running"] else ""


def execute(api: Any, name: str, words: Sequence[str]) -> tuple[int, bytes]:
    """Run a program in a container that runs: its exit code, and what it printed on stdout.

    Raises ContainerFailed.
    """
    with failing(f"{words[0]} cannot be run in container {name}"):
        made = api.exec_create(name, list(words), stderr=False)
        printed = bytes(api.exec_start(made))
        return int(api.exec_inspect(made)["ExitCode"]), printed


def remove(api: Any, name: str, patience: int = 0) -> None:
    """Remove the container of that name, where there is one; it gets `patience` seconds to end before."""
    with Interrupts() as interrupts:
        # What does not run or does not end in time is what is removed all the same.
        if patience:
            with suppress(docker.errors.APIError, OSError), interrupts.welcome():
                api.kill(name, "SIGTERM")
                api.wait(name, timeout=patience)
        _remove(api, name)


def _create(api: Any, name: str, spec: RunSpec, published: Published | None = None) -> None:
    mounts = [
        docker.types.Mount(mount.target, str(mount.source), type="bind", read_only=mount.read_only)
        for mount in spec.mounts
    ]
    mounts += [docker.types.Mount(at, name) for name, at in spec.volumes.items()]
    with failing(f"no container can be made from {spec.image}"):
        try:
            api.create_container(
                spec.image,
                list(spec.command) or None,
                name=name,
                entrypoint=list(spec.entrypoint) if spec.entrypoint else None,
                environment=dict(spec.env),
                user=spec.user or None,
                working_dir=spec.workdir or None,
                tty=spec.terminal,
                stdin_open=spec.terminal,
                labels={LABEL: spec.purpose},
                ports=list(published or ()),
                host_config=api.create_host_config(
                    network_mode=spec.network,
                    mounts=mounts,
                    port_bindings=dict(published or {}),
                    group_add=list(spec.groups),
                    **_confinement(spec),
                ),
            )
        except docker.errors.ImageNotFound as error:
            hint = f"docker pull {spec.image}"
            raise ImageNotFound(f"the engine has no image {spec.image}", hint) from error
        if spec.passable:
            api.put_archive(name, "/", _passable(spec.passable))


def _confinement(spec: RunSpec) -> Mapping[str, Any]:
    if spec.capabilities is None:
        return {}
    allowed = list(spec.capabilities)
    return {"security_opt": ["no-new-privileges"], "cap_drop": ["ALL"], "cap_add": allowed}


def _passable(folders: Sequence[str]) -> bytes:
    """An archive that, unpacked by the engine over these folders, changes no more than their mode."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for folder in folders:
            member = tarfile.TarInfo(folder.strip("/"))
            member.type, member.mode = tarfile.DIRTYPE, 0o711
            tar.addfile(member)
    return content.getvalue()


def _attend(api: Any, name: str, spec: RunSpec, on_stdout: OnOutput, on_stderr: OnOutput) -> RunResult:
    with _started(api, name, spec.image) as output, _deadline(api, name, spec.timeout) as late:
        for out, err in output:
            if out:
                on_stdout(out)
            if err:
                on_stderr(err)
        with failing(f"{spec.image} could not be run to its end"):
            exit_code = int(api.wait(name)["StatusCode"])
            state = api.inspect_container(name)["State"]
    return RunResult(exit_code, bool(state.get("OOMKilled")), late.is_set())


@contextmanager
def _started(api: Any, name: str, image: str) -> Iterator[Iterator[tuple[bytes | None, bytes | None]]]:
    """Start the container, listening before its first word: pairs of stdout and stderr, as they come."""
    with failing(f"{image} could not be run"):
        stream = api.attach(name, stdout=True, stderr=True, stream=True, demux=True)
    try:
        with failing(f"{image} could not be run"):
            api.start(name)
        yield stream
    finally:
        stream._response.close()  # left to the caller by the SDK, which gives no other way to it


@contextmanager
def _deadline(api: Any, name: str, seconds: float | None) -> Iterator[threading.Event]:
    """Kill the container after that time; the event tells whether that was needed."""
    late = threading.Event()
    if seconds is None:
        yield late
        return

    def expire() -> None:
        with suppress(*FAILURES):  # it ended by itself just before
            api.kill(name)
            late.set()

    timer = threading.Timer(seconds, expire)
    timer.start()
    try:
        yield late
    finally:
        timer.cancel()
        timer.join()


def _remove(api: Any, name: str) -> None:
    try:
        api.remove_container(name, force=True, v=True)
    except docker.errors.NotFound:
        return  # it was never made
    except FAILURES as error:
        console.warn(f"container {name} could not be removed: {one_line(error)}")


@contextmanager
def failing(fact: str) -> Iterator[None]:
    """Turn what the SDK raises into ContainerFailed."""
    try:
        yield
    except FAILURES as error:
        raise ContainerFailed(f"{fact}: {one_line(error)}", _HINT) from error
