"""Stage: a real install tree, its base, and registries that hold the base already."""

import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab import ceph, registries
from lab.registries import Registry
from lab.terminal import Terminal

BASE = "ceph/base:16"  # its name in every registry
_BASE_NAME = "org.opencontainers.image.base.name"


@dataclass(frozen=True)
class Stage:
    """The install tree, the engine's name for the base, and a folder for what is made."""

    folder: Path
    tree: Path
    name: str
    seed: Path

    @property
    def base(self) -> str:
        """The engine's own name for the base."""
        return f"{self.name}/base:latest"

    @contextmanager
    def registry(self) -> Iterator[Registry]:
        """A registry at an address of its own that holds the base and nothing else; the engine knows so."""
        folder = Path(tempfile.mkdtemp(dir=self.folder, prefix="registry-"))
        shutil.copytree(self.seed, folder / "data")
        try:
            with registries.registry(folder) as started:
                docker("pull", "--quiet", f"{started.host}/{BASE}")
                try:
                    yield started
                finally:
                    remove_images(started.host)
        finally:
            shutil.rmtree(folder)

    @contextmanager
    def terminal(self, registry: Registry) -> Iterator[Terminal]:
        """A folder without any state where `invoke` is typed, and the base was fetched from the registry."""
        folder = Path(tempfile.mkdtemp(dir=self.folder, prefix="terminal-"))
        terminal = Terminal(folder)
        terminal.set(
            BASE_IMAGE=f"{registry.host}/{BASE}",
            BASE_ALIAS=f"{registry.host}/alias:latest",
            IMAGE_NAME=f"{registry.host}/packed:latest",
            REGISTRY=registry.host,
            REPOSITORY="ceph/packed",
            TAG="bench",
            STATE_DIR=folder / "state",
        )
        try:
            invoke(terminal, "fetch-base")
            yield terminal
        finally:
            shutil.rmtree(folder)


@contextmanager
def stage(folder: Path) -> Iterator[Stage]:
    """Lay out the tree and seed a registry with the base."""
    name = f"cephtasks-bench/{uuid.uuid4().hex[:12]}"
    made = Stage(folder, folder / "tree", name, folder / "seed" / "data")
    with ceph.split(made.tree, made.base):
        with registries.registry(folder / "seed") as seeded:
            docker("tag", made.base, f"{seeded.host}/{BASE}")
            docker("push", "--quiet", f"{seeded.host}/{BASE}")
            remove_images(seeded.host)
        yield made


def docker(*words: str) -> str:
    """Run a docker command; what it prints."""
    return run("docker", *words)


def run(*words: str, env: Mapping[str, str] | None = None) -> str:
    """Run a command to its good end; what it prints."""
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=env)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)} failed: {done.stderr.strip()}")
    return done.stdout


def invoke(terminal: Terminal, *words: str) -> str:
    """Type `invoke`; what it prints on stdout."""
    done = terminal.invoke("", *words)
    if done.returncode:
        raise RuntimeError(f"invoke {' '.join(words)} failed: {done.stderr.strip()}")
    return done.stdout


def remove_images(host: str) -> None:
    """Take away all images of the engine whose names begin with a registry's host."""
    listed = docker("image", "ls", "--format={{.Repository}}:{{.Tag}}").split()
    names = [name for name in listed if name.startswith(f"{host}/") and not name.endswith("<none>")]
    # A pack takes the name from the image before, which still says what its base was called.
    unnamed = docker(
        "image", "ls", "--quiet", "--filter=dangling=true", f"--filter=label={_BASE_NAME}={host}/{BASE}"
    )
    if names or unnamed:
        docker("image", "rm", "--force", *names, *sorted(set(unnamed.split())))
