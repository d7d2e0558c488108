"""Flows: the ways from an install tree to an image in a registry, as a person types them."""

import json
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.stage import BASE, docker, invoke, run
from lab.registries import Registry
from lab.terminal import Terminal

COMMITTED = "ceph/daemon:bench"  # where the old flow pushes to
_LOCAL = "committed:latest"

Pushed = Mapping[str, Any]  # what `push --json` prints


def pack_push(terminal: Terminal, tree: Path, *options: str) -> Pushed:
    """Our way, with options of `pack`; what `push --json` says."""
    printed = invoke(terminal, "pack", "--tree", str(tree), *options, "push", "--json")
    pushed: Pushed = json.loads(printed[printed.index("{") :])
    return pushed


def commit_push(registry: Registry, tree: Path, container: str) -> None:
    """The old way: copy everything onto the base, commit, tag, and let the engine push."""
    local, target = f"{registry.host}/{_LOCAL}", f"{registry.host}/{COMMITTED}"
    commit(registry, tree, container, local)
    docker("tag", local, target)
    docker("push", "--quiet", target)


def forget_commit(registry: Registry) -> None:
    """Remove the engine's image of the old way, so that the next one leaves none without a name."""
    docker("image", "rm", f"{registry.host}/{_LOCAL}", f"{registry.host}/{COMMITTED}")


def commit_skopeo(registry: Registry, tree: Path, container: str) -> None:
    """The old way with another tool for the push."""
    name = f"{registry.host}/{_LOCAL}"
    commit(registry, tree, container, name)
    skopeo(name, f"{registry.host}/{COMMITTED}")


def commit(registry: Registry, tree: Path, container: str, name: str) -> None:
    """Copy everything onto the base in a container, and make an image of that."""
    what = ("cp", "--archive", "/tree/.", "/")
    docker(
        *("run", f"--name={container}", "--network=none", f"--volume={tree}:/tree:ro"),
        *(f"--entrypoint={what[0]}", f"{registry.host}/{BASE}", *what[1:]),
    )
    docker("commit", container, name)


def skopeo(name: str, target: str) -> None:
    """Copy an image of the engine to a registry."""
    run("skopeo", "copy", "--quiet", "--dest-tls-verify=false", f"docker-daemon:{name}", f"docker://{target}")


def crane_append(registry: Registry, tree: Path, tar: Path) -> None:
    """One layer with everything onto the base, straight to the registry and past the engine."""
    run("tar", f"--file={tar}", f"--directory={tree}", "--create", ".")
    target = f"{registry.host}/{COMMITTED}"
    base = f"--base={registry.host}/{BASE}"
    run("crane", "append", "--insecure", base, f"--new_layer={tar}", f"--new_tag={target}")


def has_crane() -> bool:
    """Whether crane is on PATH."""
    return shutil.which("crane") is not None


@contextmanager
def container_name() -> Iterator[str]:
    """A name for a container, which goes with the block."""
    name = f"cephtasks-bench-{uuid.uuid4().hex[:12]}"
    try:
        yield name
    finally:
        docker("rm", "--force", name)
