"""Nodes behind a mirror: what the registry sends does not grow with them."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cephtasks.reference import parse
from cephtasks.registry import Client, push
from cephtasks.store import Store
from lab.cluster import Cluster
from lab.images import packed
from lab.processes import free_port
from lab.registries import Registry, registry
from lab.terminal import Terminal


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Registry]:
    """The cluster's registry."""
    with registry(tmp_path / "source") as started:
        yield started


@pytest.fixture
def mirror(source: Registry, tmp_path: Path) -> Iterator[str]:
    """A mirror of it, started as a person starts one."""
    (tmp_path / "mirror").mkdir()
    terminal, host = Terminal(tmp_path / "mirror"), f"localhost:{free_port()}"
    terminal.set(REGISTRY=host, STATE_DIR=tmp_path / "mirror/state")
    up = terminal.invoke("registry.up --mirror-of", f"http://{source.host}")
    assert up.returncode == 0, up.stderr
    try:
        yield host
    finally:
        terminal.invoke("registry.down")


def test_through_a_mirror_the_registry_sends_no_more_for_many(
    cluster: Cluster, source: Registry, mirror: str, tmp_path: Path
) -> None:
    """Four nodes have the image and then an edit of it; only the mirror was sent it, which is registry 2.

    Registry 2 asks twice for what it does not have: for whoever wants it, and to keep it.
    """
    store, terminal = Store(tmp_path / "store"), Terminal(tmp_path)
    contents = [{"image": os.urandom(4_000_000)}, {"edit": os.urandom(1_000_000)}]
    terminal.set(
        NODES=cluster.nodes("one", "two", "three", "ssh"),
        REGISTRY=mirror,
        REPOSITORY="mirrored/ceph",
        TAG="new",
        STATE_DIR=tmp_path / "state",
    )
    for layers in (contents[:1], contents):
        image = packed(store, "mirrored", layers)
        with Client(source.host) as client:
            push(client, parse(f"{source.host}/mirrored/ceph:new"), image, store.open)
        before = source.served_bytes()
        done = terminal.invoke("nodes.pull", PATH=cluster.path)
        assert done.returncode == 0, done.stderr
        new = image.layers[-1].blob.size + image.config_blob.size
        assert new <= source.served_bytes() - before <= 2 * new * 1.01
        for name in ("one", "two", "three", "ssh"):
            pulled = ["image", "inspect", "--format={{.Id}}", f"{mirror}/mirrored/ceph:new"]
            assert cluster.engines[name].docker(*pulled).stdout.strip() == image.id
