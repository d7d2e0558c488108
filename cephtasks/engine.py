"""Engine: the one edge to Docker, through its SDK."""

import shlex
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import docker.auth
import docker.errors

from cephtasks import console
from cephtasks.errors import ContainerFailed, EngineRefused, EngineUnreachable, ImageNotFound, PullFailed
from cephtasks.reference import parse

LABEL = "cephtasks"
_NO_TIMEOUT = 24 * 3600  # seconds; a compiler may be silent for long
_CHUNK = 1 << 20

OnOutput = Callable[[bytes], None]
OnProgress = Callable[[str, int, int | None, str], None]


@dataclass(frozen=True)
class EngineImage:
    """An image as the engine describes it; `size` in bytes, unpacked."""

    id: str
    tags: tuple[str, ...]
    repo_digests: tuple[str, ...]
    diff_ids: tuple[str, ...]
    architecture: str
    entrypoint: tuple[str, ...]
    size: int
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Mount:
    """A folder of the host and where the container sees it."""

    source: Path
    target: str
    read_only: bool = False


@dataclass(frozen=True)
class RunSpec:
    """One container to run: what `docker run` would be told."""

    image: str
    command: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] | None = None
    env: Mapping[str, str] = field(default_factory=dict, hash=False)
    mounts: tuple[Mount, ...] = ()
    user: str = ""
    workdir: str = ""
    network: str = "none"
    purpose: str = "run"
    timeout: float | None = None

    def command_line(self) -> str:
        """The `docker run` line that does the same."""
        words = ["docker", "run", "--rm", f"--network={self.network}"]
        words += [f"--user={self.user}"] if self.user else []
        words += [f"--workdir={self.workdir}"] if self.workdir else []
        words += [f"--env={name}={value}" for name, value in self.env.items()]
        words += [f"--volume={m.source}:{m.target}{':ro' if m.read_only else ''}" for m in self.mounts]
        first, rest = (self.entrypoint[:1], self.entrypoint[1:]) if self.entrypoint else ((), ())
        words += [f"--entrypoint={word}" for word in first]
        return shlex.join([*words, self.image, *rest, *self.command])


@dataclass(frozen=True)
class RunResult:
    """How a container ended."""

    exit_code: int
    oom_killed: bool = False
    timed_out: bool = False


class Engine:
    """A connection to one Docker engine; with `dry`, what would change something is only echoed."""

    def __init__(self, client: docker.DockerClient, dry: bool = False, echo: bool = False) -> None:
        self._api: Any = client.api
        self.dry = dry
        self._echo = echo or dry

    @classmethod
    def connect(cls, dry: bool = False, echo: bool = False) -> "Engine":
        """Reach the engine that DOCKER_HOST names, else the one on this machine.

        Raises EngineUnreachable.
        """
        try:
            client = docker.from_env(timeout=_NO_TIMEOUT)
        except (docker.errors.DockerException, OSError) as error:
            raise EngineUnreachable(
                f"no Docker engine answers: {_one_line(error)}", "script/bootstrap, or set DOCKER_HOST"
            ) from error
        return cls(client, dry, echo)

    def close(self) -> None:
        """Close the connection."""
        self._api.close()

    def image(self, reference: str) -> EngineImage | None:
        """The image of that name or id, or None where the engine has none."""
        with _translated(f"docker image inspect {reference}"):
            try:
                document = self._api.inspect_image(reference)
            except docker.errors.ImageNotFound:
                return None
        return _read_image(document)

    def require_image(self, reference: str, hint: str) -> EngineImage:
        """The image of that name or id; raises ImageNotFound with the hint."""
        found = self.image(reference)
        if found is None:
            raise ImageNotFound(f"the engine has no image {reference}", hint)
        return found

    def images(self) -> tuple[EngineImage, ...]:
        """All tagged images of the engine."""
        with _translated("docker image ls"):
            listed = self._api.images()
        found = (self.image(document["Id"]) for document in listed)
        return tuple(image for image in found if image is not None)

    def pull(self, reference: str, on_progress: OnProgress) -> EngineImage | None:
        """Fetch an image from its registry; `on_progress` gets layer, bytes done, bytes in all, status.

        Raises PullFailed. Returns None in a dry run where the engine lacks the image.
        """
        if not self._changes("docker", "pull", reference):
            return self.image(reference)
        named = parse(reference)
        try:
            events = self._api.pull(named.name, tag=named.target, stream=True, decode=True)
            for event in events:
                if "error" in event:
                    raise PullFailed(f"{reference} could not be pulled: {event['error']}", _PULL_HINT)
                detail = event.get("progressDetail") or {}
                if event.get("id") and detail.get("total"):
                    on_progress(event["id"], detail.get("current", 0), detail["total"], event["status"])
        except (docker.errors.DockerException, OSError) as error:
            raise PullFailed(f"{reference} could not be pulled: {_one_line(error)}", _PULL_HINT) from error
        return self.require_image(reference, f"docker pull {reference}")

    def tag(self, image: str, reference: str) -> None:
        """Give an image one more name."""
        if not self._changes("docker", "tag", image, reference):
            return
        named = parse(reference)
        with _translated(f"docker tag {image} {reference}"):
            self._api.tag(image, named.name, named.tag, force=True)

    def untag(self, reference: str) -> None:
        """Take a name from an image; the last name takes the image away too."""
        if not self._changes("docker", "image", "rm", reference):
            return
        with _translated(f"docker image rm {reference}"):
            self._api.remove_image(reference)

    def save(self, image: str) -> Iterator[bytes]:
        """The image as an archive, in chunks, as `docker save` writes it."""
        self._show("docker", "save", image)
        with _translated(f"docker save {image}"):
            yield from self._api.get_image(image, chunk_size=_CHUNK)

    def load(self, archive: Iterable[bytes]) -> None:
        """Take in the images of an archive; raises EngineRefused also for errors inside the answer."""
        if not self._changes("docker", "load"):
            return
        with _translated("docker load"):
            for event in self._api.load_image(iter(archive)):
                if "error" in event:
                    raise EngineRefused(f"docker load failed: {event['error']}", _ENGINE_HINT)

    def import_tar(self, tar: Iterable[bytes], reference: str, changes: Sequence[str] = ()) -> str:
        """Make an image of one layer from a tar; `changes` are Dockerfile lines. Returns its id."""
        if not self._changes(
            "docker", "import", *(f"--change={change}" for change in changes), "-", reference
        ):
            return ""
        named = parse(reference)
        with _translated(f"docker import {reference}"):
            self._api.import_image_from_data(iter(tar), named.name, named.tag, changes=list(changes))
        return self.require_image(reference, "docker info").id

    def build(self, folder: Path, reference: str, on_output: Callable[[str], None]) -> str:
        """Make an image from the folder's Dockerfile; returns its id. Raises EngineRefused."""
        if not self._changes("docker", "build", f"--tag={reference}", str(folder)):
            return ""
        with _translated(f"docker build {folder}"):
            for event in self._api.build(path=str(folder), tag=reference, rm=True, forcerm=True, decode=True):
                if "error" in event:
                    raise EngineRefused(f"docker build failed: {event['error'].strip()}", _ENGINE_HINT)
                if event.get("stream", "").strip():
                    on_output(event["stream"].rstrip("\n"))
        return self.require_image(reference, "docker info").id

    def run(self, spec: RunSpec, on_stdout: OnOutput, on_stderr: OnOutput) -> RunResult:
        """Run a container to its end, its output live; it is removed however this ends.

        Raises ImageNotFound, ContainerFailed.
        """
        if not self._changes(*shlex.split(spec.command_line())):
            return RunResult(0)
        name = f"cephtasks-{spec.purpose}-{uuid.uuid4().hex[:12]}"
        try:
            self._create(name, spec)
            return self._attend(name, spec, on_stdout, on_stderr)
        finally:
            self._remove(name)

    def start(self, name: str, spec: RunSpec, published: Mapping[int, tuple[str, int]]) -> None:
        """Start a container that goes on running; `published` gives for a port inside where it is reached.

        Raises ImageNotFound, ContainerFailed.
        """
        flags = [f"--publish={address}:{port}:{inside}" for inside, (address, port) in published.items()]
        _, _, _, *rest = shlex.split(spec.command_line())  # docker run --rm
        if not self._changes("docker", "run", "--detach", f"--name={name}", *flags, *rest):
            return
        self._create(name, spec, published)
        try:
            self._api.start(name)
        except (docker.errors.DockerException, OSError) as error:
            self.remove(name)
            raise ContainerFailed(
                f"{spec.image} could not be started: {_one_line(error)}", _ENGINE_HINT
            ) from error

    def is_running(self, name: str) -> bool:
        """Whether there is a container of that name, and it runs."""
        with _translated(f"docker inspect {name}"):
            try:
                return bool(self._api.inspect_container(name)["State"]["Running"])
            except docker.errors.NotFound:
                return False

    def remove(self, name: str) -> None:
        """Stop and remove the container of that name, where there is one."""
        if self._changes("docker", "rm", "--force", "--volumes", name):
            self._remove(name)

    def _create(
        self, name: str, spec: RunSpec, published: Mapping[int, tuple[str, int]] | None = None
    ) -> None:
        try:
            self._api.create_container(
                spec.image,
                list(spec.command) or None,
                name=name,
                entrypoint=None if spec.entrypoint is None else list(spec.entrypoint),
                environment=dict(spec.env),
                user=spec.user or None,
                working_dir=spec.workdir or None,
                labels={LABEL: spec.purpose},
                ports=list(published or ()),
                host_config=self._api.create_host_config(
                    network_mode=spec.network,
                    port_bindings=dict(published or {}),
                    binds=[f"{m.source}:{m.target}{':ro' if m.read_only else ''}" for m in spec.mounts],
                ),
            )
        except docker.errors.ImageNotFound as error:
            raise ImageNotFound(
                f"the engine has no image {spec.image}", f"docker pull {spec.image}"
            ) from error
        except (docker.errors.DockerException, OSError) as error:
            raise ContainerFailed(
                f"no container can be made from {spec.image}: {_one_line(error)}", _ENGINE_HINT
            ) from error

    def _attend(self, name: str, spec: RunSpec, on_stdout: OnOutput, on_stderr: OnOutput) -> RunResult:
        late = threading.Event()
        timer = threading.Timer(spec.timeout or 0, self._expire, (name, late))
        try:
            stream = self._api.attach(name, stdout=True, stderr=True, stream=True, demux=True)
            self._api.start(name)
            if spec.timeout is not None:
                timer.start()
            for out, err in stream:
                if out:
                    on_stdout(out)
                if err:
                    on_stderr(err)
            exit_code = int(self._api.wait(name)["StatusCode"])
            state = self._api.inspect_container(name)["State"]
        except (docker.errors.DockerException, OSError) as error:
            raise ContainerFailed(
                f"{spec.image} could not be run: {_one_line(error)}", _ENGINE_HINT
            ) from error
        finally:
            timer.cancel()
        return RunResult(exit_code, bool(state.get("OOMKilled")), late.is_set())

    def _expire(self, name: str, late: threading.Event) -> None:
        late.set()
        try:
            self._api.kill(name)
        except docker.errors.APIError:
            late.clear()  # it ended by itself just before

    def _remove(self, name: str) -> None:
        try:
            self._api.remove_container(name, force=True, v=True)
        except docker.errors.NotFound:
            return  # it was never made
        except (docker.errors.DockerException, OSError) as error:
            console.warn(f"container {name} could not be removed: {_one_line(error)}")

    def _show(self, *words: str) -> None:
        if self._echo:
            console.say(shlex.join(words))

    def _changes(self, *words: str) -> bool:
        """Echo the line where that is wanted; whether the call is to be made."""
        self._show(*words)
        return not self.dry


def credentials(registry: str) -> tuple[str, str] | None:
    """User and password, or `<token>` and an identity token, from Docker's credential store."""
    try:
        found = docker.auth.load_config().resolve_authconfig(registry)
    except docker.errors.DockerException as error:
        console.warn(f"Docker's credential store does not answer for {registry}: {_one_line(error)}")
        return None
    if not found:
        return None
    if found.get("IdentityToken") or found.get("identitytoken"):
        return "<token>", found.get("IdentityToken") or found["identitytoken"]
    user, password = (
        found.get("username") or found.get("Username"),
        found.get("password") or found.get("Password"),
    )
    return (user, password) if user and password else None


_ENGINE_HINT = "docker info"
_PULL_HINT = "check the name and the network; `docker login` where the registry wants it"


@contextmanager
def _translated(what: str) -> Iterator[None]:
    try:
        yield
    except (docker.errors.DockerException, OSError) as error:
        raise EngineRefused(f"{what} failed: {_one_line(error)}", _ENGINE_HINT) from error


def _one_line(error: Exception) -> str:
    text = getattr(error, "explanation", None) or str(error)
    return " ".join(str(text).split())


def _read_image(document: Mapping[str, Any]) -> EngineImage:
    return EngineImage(
        id=document["Id"],
        tags=tuple(document.get("RepoTags") or ()),
        repo_digests=tuple(document.get("RepoDigests") or ()),
        diff_ids=tuple((document.get("RootFS") or {}).get("Layers") or ()),
        architecture=document.get("Architecture", ""),
        entrypoint=tuple((document.get("Config") or {}).get("Entrypoint") or ()),
        size=int(document.get("Size", 0)),
        labels=(document.get("Config") or {}).get("Labels") or {},
    )
