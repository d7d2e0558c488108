"""Client: what one engine is asked to do, echoed as the `docker` line that does the same."""

import os
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import docker.errors

from cephtasks import console
from cephtasks.engine import builds, containers, files, prompts, pulls
from cephtasks.engine.capacity import Capacity, capacity
from cephtasks.engine.connection import CERTIFICATES, Connection
from cephtasks.engine.containers import OnOutput, Published, RunResult, RunSpec
from cephtasks.engine.pulls import OnProgress
from cephtasks.engine.troubles import FAILURES, one_line
from cephtasks.errors import EngineRefused, ImageNotFound, ReferenceInvalid
from cephtasks.reference import Reference, parse

_CHUNK = 1 << 20
_HINT = "docker info"
# What engines take where an image sets no PATH.
_SEARCH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class EngineImage:
    """An image as the engine describes it; `size` in bytes, unpacked, `name` as it was asked for."""

    id: str
    tags: tuple[str, ...]
    repo_digests: tuple[str, ...]
    diff_ids: tuple[str, ...]
    architecture: str
    entrypoint: tuple[str, ...]
    size: int
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    env: Mapping[str, str] = field(default_factory=dict, hash=False)
    name: str = field(default="", compare=False)


class Engine:
    """A connection to one Docker engine; with `dry`, what would change something is only echoed."""

    def __init__(
        self, connection: Connection, dry: bool = False, echo: bool = False, options: Sequence[str] = ()
    ) -> None:
        self._connection = connection
        self._options = tuple(options)
        self._api: Any = connection.api
        self.dry = dry
        self._echo = echo or dry
        self._programs: dict[tuple[str, str], bool] = {}

    @classmethod
    def connect(
        cls, dry: bool = False, echo: bool = False, host: str = "", certificates: Path | None = None
    ) -> "Engine":
        """Reach the engine at `host`, or else the one that DOCKER_HOST or Docker's context names.

        `certificates` is a folder with ca.pem, cert.pem and key.pem, for an engine behind TLS.
        Raises DockerHostInvalid, EngineUnreachable, EngineNotTrusted, EngineRefused.
        """
        options = [f"--host={host}"] if host else []
        if certificates:
            ca, certificate, key = (certificates / name for name in CERTIFICATES)
            options += ["--tlsverify", f"--tlscacert={ca}", f"--tlscert={certificate}", f"--tlskey={key}"]
        return cls(Connection(host, certificates), dry, echo, options)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def image(self, reference: str) -> EngineImage | None:
        """The image of that name or id, or None where the engine has none."""
        with _translated(f"docker image inspect {reference}"):
            try:
                return _read_image(self._api.inspect_image(reference), reference)
            except docker.errors.ImageNotFound:
                return None

    def require_image(self, reference: str, hint: str) -> EngineImage:
        """The image of that name or id; raises ImageNotFound with the hint."""
        found = self.image(reference)
        if found is None:
            raise ImageNotFound(f"the engine has no image {reference}", hint)
        return found

    def images(self) -> tuple[EngineImage, ...]:
        """All images of the engine, those that have lost their names too."""
        with _translated("docker image ls"):
            listed = self._api.images()
        found = (self.image(document["Id"]) for document in listed)
        return tuple(image for image in found if image is not None)

    def unnamed(self, label: str, value: str = "") -> tuple[str, ...]:
        """The ids of images that have lost their names and carry a label, with that value if one is given."""
        wanted = f"{label}={value}" if value else label
        with _translated("docker image ls"):
            listed = self._api.images(filters={"dangling": True, "label": wanted})
        return tuple(document["Id"] for document in listed)

    def pull(self, reference: str, on_progress: OnProgress) -> EngineImage | None:
        """Fetch an image from its registry; `on_progress` gets layer, bytes done, bytes in all, what is done.

        Raises PullFailed. Returns None in a dry run where the engine lacks the image.
        """
        if not self._changes("docker", "pull", reference):
            return self.image(reference)
        named = parse(reference)
        pulls.pull(self._api, named, on_progress)
        fetched = named.with_digest(named.digest) if named.digest else named
        return self.require_image(fetched.familiar, f"docker pull {reference}")

    def reach(self, reference: str) -> None:
        """See whether the engine could pull an image, or would if there were one of that name.

        Raises PullFailed.
        """
        pulls.reach(self._api, parse(reference))

    def tag(self, image: str, reference: str) -> None:
        """Give an image one more name; raises ReferenceInvalid for a name with a digest."""
        named = _name(reference)
        if self._changes("docker", "tag", image, reference):
            with _translated(f"docker tag {image} {reference}"):
                self._api.tag(image, named.name, named.tag, force=True)

    def untag(self, reference: str) -> None:
        """Take a name from an image; the last name takes the image away too."""
        if self._changes("docker", "image", "rm", reference):
            with _translated(f"docker image rm {reference}"):
                self._api.remove_image(reference)

    def save(self, image: str) -> Iterator[bytes]:
        """The image as an archive, in chunks, as `docker save` writes it."""
        self._show("docker", "save", image)
        with (
            _translated(f"docker save {image}"),
            closing(self._api.get_image(image, chunk_size=_CHUNK)) as chunks,
        ):
            yield from chunks

    def load(self, archive: Iterable[bytes]) -> None:
        """Take in the images of an archive; raises EngineRefused also for errors inside the answer."""
        if self._changes("docker", "load"):
            with _translated("docker load"):
                # An iterator, for of a list requests would make a form.
                for event in self._api.load_image(iter(archive)):
                    if "error" in event:
                        raise EngineRefused(f"docker load failed: {event['error']}", _HINT)

    def import_tar(self, tar: Iterable[bytes], reference: str, changes: Sequence[str] = ()) -> str:
        """Make an image of one layer from a tar; `changes` are Dockerfile lines. Returns its id."""
        named = _name(reference)
        options = [f"--change={change}" for change in changes]
        if not self._changes("docker", "import", *options, "-", reference):
            return ""
        with _translated(f"docker import {reference}"):
            self._api.import_image_from_data(iter(tar), named.name, named.tag, changes=list(changes))
        return self.require_image(reference, _HINT).id

    def build(
        self,
        folder: Path,
        reference: str,
        on_output: Callable[[str], None],
        arguments: Mapping[str, str] = {},
        labels: Mapping[str, str] = {},
    ) -> str:
        """Make an image from the folder's Dockerfile, with what its links lead to; returns its id.

        Raises EngineRefused.
        """
        options = [f"--build-arg={name}={value}" for name, value in arguments.items()]
        options += [f"--label={name}={value}" for name, value in labels.items()]
        packing = ["tar", "--create", "--dereference", f"--directory={folder}", "."]
        if not self._changes(*packing, "|", "docker", "build", f"--tag={reference}", *options, "-"):
            return ""
        with _translated(f"docker build {folder}"):
            builds.build(self._api, folder, reference, on_output, arguments, labels)
        return self.require_image(reference, _HINT).id

    def run(self, spec: RunSpec, on_stdout: OnOutput, on_stderr: OnOutput) -> RunResult:
        """Run a container to its end, its output live; it is removed however this ends.

        Raises ImageNotFound, ContainerFailed. In a dry run it ends well, and runs if it `looks_only`.
        """
        if not self._changes(*spec.words()) and not spec.looks_only:
            return RunResult(0)
        return containers.run(self._api, spec, on_stdout, on_stderr)

    def amend(
        self, spec: RunSpec, reference: str, changes: Sequence[str], on_stdout: OnOutput, on_stderr: OnOutput
    ) -> RunResult:
        """Run a container, and where it ends well make an image of it; `changes` are Dockerfile lines.

        Raises ImageNotFound, ContainerFailed.
        """
        named = _name(reference)
        _, _, _, *rest = spec.words()  # docker run --rm
        options = [f"--change={change}" for change in changes]
        if not self._changes("docker", "run", "--cidfile=ID", *rest):
            self._show("docker", "commit", *options, "$(cat ID)", reference)
            return RunResult(0)

        def keep(name: str) -> None:
            self._api.commit(name, named.name, named.tag, changes=list(changes))

        return containers.run(self._api, spec, on_stdout, on_stderr, keep)

    def interact(self, spec: RunSpec) -> None:
        """Run a container on this terminal, until its program ends. Raises ImageNotFound, ContainerFailed."""
        if self._changes(*spec.words()):
            prompts.interact(self._api, spec)

    def has_program(self, image: EngineImage, name: str) -> bool:
        """Whether an image has a program in its PATH; raises EngineRefused."""
        what = (image.id, name)
        if what not in self._programs:
            search = image.env.get("PATH", _SEARCH)
            with _translated(f"docker create {image.id}"):
                self._programs[what] = files.has_program(self._api, image.id, name, search)
        return self._programs[what]

    def capacity(self) -> Capacity:
        """What the containers of the engine may use of its machine; raises EngineRefused."""
        with _translated("docker info"):
            return capacity(self._api, bool(self._connection.socket))

    @property
    def socket(self) -> str:
        """The path of the engine's socket where it is on this machine, or empty."""
        return self._connection.socket

    def copy_out(self, image: str, path: str, sink: IO[bytes]) -> None:
        """Write a file of an image to `sink`; raises EngineRefused."""
        self._show("docker", "cp", f"$(docker create {image} true):/{path}", "-")
        with _translated(f"docker cp {image}:/{path}"):
            files.copy_out(self._api, image, path, sink)

    def put_on_host(self, folder: str, path: str, content: bytes) -> None:
        """Write a file below a folder of the engine's host, with the folders that lead to it.

        Raises EngineRefused.
        """
        container = f"$(docker create --volume={folder}:{folder} scratch true)"
        if self._changes("docker", "cp", path, f"{container}:{folder}"):
            with _translated(f"docker cp {path}"):
                files.put_on_host(self._api, folder, path, content)

    @property
    def version(self) -> str:
        """The engine's own version."""
        with _translated("docker version"):
            return str(self._api.version()["Version"])

    def start(self, name: str, spec: RunSpec, published: Published) -> None:
        """Start a container that goes on running; `published` gives for ports inside where they are reached.

        Raises ImageNotFound, ContainerFailed.
        """
        options = [f"--publish={address}:{port}:{inside}" for inside, (address, port) in published.items()]
        _, _, _, *rest = spec.words()  # docker run --rm
        if self._changes("docker", "run", "--detach", f"--name={name}", *options, *rest):
            containers.start(self._api, name, spec, published)

    def running(self, name: str) -> str:
        """The id of the image that the container of that name runs, or nothing; raises ContainerFailed."""
        return containers.running(self._api, name)

    def execute(self, name: str, words: Sequence[str]) -> tuple[int, bytes]:
        """Run a program that only looks, in a container that runs: its exit code, and what it printed.

        Raises ContainerFailed.
        """
        self._show("docker", "exec", name, *words)
        return containers.execute(self._api, name, words)

    def said(self, name: str) -> bytes:
        """What the container of that name wrote so far; raises EngineRefused."""
        with _translated(f"docker logs {name}"):
            return bytes(self._api.logs(name))

    def remove(self, name: str, patience: int = 0) -> None:
        """Remove the container of that name, where there is one; it gets `patience` seconds to end before."""
        if patience:
            self._show("docker", "stop", f"--time={patience}", name)
        if self._changes("docker", "rm", "--force", "--volumes", name):
            containers.remove(self._api, name, patience)

    def remove_volume(self, name: str) -> None:
        """Remove a volume with all that is in it, where there is one; raises EngineRefused."""
        if self._changes("docker", "volume", "rm", "--force", name):
            with _translated(f"docker volume rm {name}"), suppress(docker.errors.NotFound):
                self._api.remove_volume(name)

    def _show(self, *words: str) -> None:
        if self._echo:
            at = words.index("docker") + 1 if "docker" in words else len(words)
            line = " ".join(
                word if word == "|" else shlex.quote(word)
                for word in (*words[:at], *self._options, *words[at:])
            )
            console.stream(os.fsencode(f"{line}\n"))  # byte for byte, to be pasted

    def _changes(self, *words: str) -> bool:
        """Echo the line where that is wanted; whether the call is to be made."""
        self._show(*words)
        return not self.dry


def _name(reference: str) -> Reference:
    """A reference to give to an image."""
    named = parse(reference)
    if named.digest:
        fact = f"{reference} has a digest, which nobody can give to an image"
        raise ReferenceInvalid(fact, reference.partition("@")[0])
    return named


@contextmanager
def _translated(what: str) -> Iterator[None]:
    try:
        yield
    except FAILURES as error:
        raise EngineRefused(f"{what} failed: {one_line(error)}", _HINT) from error


def _read_image(document: Mapping[str, Any], name: str) -> EngineImage:
    config = document.get("Config") or {}
    variables = (variable.partition("=") for variable in config.get("Env") or ())
    return EngineImage(
        id=document["Id"],
        tags=tuple(document.get("RepoTags") or ()),
        repo_digests=tuple(document.get("RepoDigests") or ()),
        diff_ids=tuple((document.get("RootFS") or {}).get("Layers") or ()),
        architecture=document.get("Architecture", ""),
        entrypoint=tuple(config.get("Entrypoint") or ()),
        size=int(document.get("Size", 0)),
        labels=dict(config.get("Labels") or {}),
        env={variable: value for variable, _, value in variables},
        name=name,
    )
