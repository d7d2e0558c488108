"""Handover: what cephadm and ceph-ansible are told leads an engine to the very image."""

import os
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from cephtasks.oci import Image
from cephtasks.reference import parse
from cephtasks.registry import Client, push
from cephtasks.store import Store
from lab.cluster import Cluster
from lab.images import packed
from lab.terminal import Terminal

_REPOSITORY = "handover/ceph"


@pytest.fixture
def image(registry: str, tmp_path: Path) -> Image:
    """An image in the registry, as the tag `edit`."""
    store = Store(tmp_path / "store")
    made = packed(store, _REPOSITORY, [{"file": b"handed over"}])
    with Client(registry) as client:
        push(client, parse(f"{registry}/{_REPOSITORY}:edit"), made, store.open)
    return made


@pytest.fixture
def terminal(registry: str, tmp_path: Path) -> Terminal:
    """Settings that lead to the image."""
    made = Terminal(tmp_path)
    made.set(REGISTRY=registry, REPOSITORY=_REPOSITORY, TAG="edit", STATE_DIR=tmp_path / "state")
    return made


def test_both_are_told_by_digest(registry: str, image: Image, terminal: Terminal) -> None:
    """Without a flag there is a part for each tool; with one, that part alone, to be pasted or saved."""
    line = f"ceph orch upgrade start --image {registry}/{_REPOSITORY}@{image.digest}\n"
    assert terminal.invoke("nodes.handover --cephadm").stdout == line
    variables = terminal.invoke("nodes.handover --ansible").stdout
    assert terminal.invoke("nodes.handover").stdout == (
        f"# cephadm\n{line}\n# ceph-ansible, in group_vars/all.yml\n{variables}"
    )


def test_what_ansible_puts_together_can_be_pulled(cluster: Cluster, image: Image, terminal: Terminal) -> None:
    """Registry, image and tag, joined as ceph-ansible does it, are the image's digest to an engine."""
    lines = terminal.invoke("nodes.handover --ansible").stdout.splitlines()
    told = {name: value.strip(' "') for name, _, value in (line.partition(":") for line in lines)}
    assert told["containerized_deployment"] == "true"
    joined = f"{told['ceph_docker_registry']}/{told['ceph_docker_image']}:{told['ceph_docker_image_tag']}"
    node = cluster.engines["one"]
    node.docker("pull", joined)
    assert node.docker("image", "inspect", "--format={{.Id}}", joined).stdout.strip() == image.id


def test_the_line_is_run_on_the_host_that_is_named(
    cluster: Cluster, image: Image, terminal: Terminal, registry: str
) -> None:
    """Over ssh, and what that host says is told; here that it has no Ceph."""
    host = f"ssh://{urlsplit(cluster.urls['ssh']).netloc}"
    line = f"ssh -- {host} 'ceph orch upgrade start --image {registry}/{_REPOSITORY}@{image.digest}'"
    dry = terminal.invoke("--dry nodes.handover --on", host)
    assert dry.stderr.splitlines()[-1] == line
    done = terminal.invoke("nodes.handover --on", host, PATH=cluster.path)
    assert done.returncode == 1
    assert f"error: {line} ended with 127: " in done.stderr
    assert "ceph: " in done.stderr


def test_what_ceph_says_is_passed_on(image: Image, terminal: Terminal, registry: str, tmp_path: Path) -> None:
    """The result is the image by its digest."""
    program = tmp_path / "ceph"
    program.write_text('#!/bin/sh\necho "told to $*"\n')
    program.chmod(0o755)
    done = terminal.invoke("nodes.handover --run", PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert done.returncode == 0, done.stderr
    assert done.stderr == f"told to orch upgrade start --image {registry}/{_REPOSITORY}@{image.digest}\n"
    assert done.stdout == f"{registry}/{_REPOSITORY}@{image.digest}\n"


def test_without_ceph_it_is_said_where_to_run_it(image: Image, terminal: Terminal, tmp_path: Path) -> None:
    """One line, and the flag that helps."""
    done = terminal.invoke("nodes.handover --run", PATH=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "error: ceph cannot be run: No such file or directory",
        "hint: invoke nodes.handover --run --on HOST, where ceph is",
    ]
