"""A Ceph of one node from the real Ceph: it serves, keeps its data under another image, and goes."""

import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cephtasks.reference import parse
from cephtasks.registry import Client, push
from cephtasks.store import Store
from lab import ceph, ssh
from lab.images import packed
from lab.terminal import Terminal


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    """Settings with an address of this test alone; nothing is left afterwards."""
    number = os.getpid() % 65536
    made = Terminal(tmp_path)
    address = f"127.83.{number // 256}.{number % 256 or 1}"
    made.set(IMAGE_NAME=ceph.IMAGE, STATE_DIR=tmp_path / "state", MON_IP=address)
    yield made
    made.invoke("stop --wipe")


@pytest.fixture
def edited(image_name: str, tmp_path: Path) -> str:
    """The same Ceph as another image, as an edit makes one."""
    (tmp_path / "Dockerfile").write_text(f"FROM {ceph.IMAGE}\nLABEL edited=true\n")
    name = f"{image_name}:edited"
    subprocess.run(["docker", "build", "--tag", name, str(tmp_path)], check=True, capture_output=True)
    return name


def client(terminal: Terminal, *words: str, stdin: str = "") -> str:
    """What a client of the cluster prints, in a container that has only the config folder."""
    config = f"{terminal.folder}/state/ceph:/etc/ceph"
    run = ["docker", "run", "--rm", "--interactive", "--network=host", f"--volume={config}", ceph.IMAGE]
    return subprocess.run(
        [*run, *words], input=stdin, check=True, capture_output=True, text=True
    ).stdout.strip()


def test_the_files_of_another_cluster_are_safe_on_another_machine(terminal: Terminal, tmp_path: Path) -> None:
    """Behind ssh only the container sees them; it ends before it writes anything."""
    (config := terminal.folder / "state/ceph").mkdir(parents=True)
    (config / "ceph.conf").write_text("[global]\n")
    (tmp_path / "sshd").mkdir()
    with ssh.host(tmp_path / "sshd") as far:
        done = terminal.invoke("start", DOCKER_HOST=far.url, PATH=far.path)
    assert done.returncode == 1
    assert "error: Ceph ended: the folder for ceph.conf has that of another cluster" in done.stderr
    assert {file.name: file.read_text() for file in config.iterdir()} == {"ceph.conf": "[global]\n"}


def handed_over(terminal: Terminal, container: str, registry: str) -> str:
    """What the cluster says when it is to run an image; the container's `ceph` is that of the machine."""
    program = terminal.folder / "bin" / "ceph"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec docker exec {container} ceph "$@"\n')
    program.chmod(0o755)
    name, store = f"{registry}/handover/{container}:new", Store(terminal.folder / "store")
    with Client(registry) as sending:
        push(sending, parse(name), packed(store, container, [{"file": b"1"}]), store.open)
    done = terminal.invoke("nodes.handover --run", name, PATH=f"{program.parent}:{os.environ['PATH']}")
    assert done.returncode == 1
    return done.stderr


def test_a_cluster_serves_and_keeps_its_data(terminal: Terminal, edited: str, registry: str) -> None:
    """Clients of the host reach it; a second start leaves it alone; another image goes on with its data."""
    config = terminal.folder / "state/ceph/ceph.conf"
    first = terminal.invoke("start")
    assert first.returncode == 0, first.stderr
    assert first.stdout == f"{config}\n"
    keyring = config.with_name("ceph.client.admin.keyring")
    assert stat.S_IMODE(keyring.stat().st_mode) == 0o600
    client(terminal, "rados", "--pool=cephfs.data", "put", "thing", "-", stdin="kept")
    again = terminal.invoke("start")
    assert "was up already" in again.stderr
    other = terminal.invoke("start", edited)
    assert other.returncode == 0, other.stderr
    assert client(terminal, "rados", "--pool=cephfs.data", "get", "thing", "-") == "kept"
    assert "cephfs" in client(terminal, "ceph", "fs", "ls")
    container = other.stderr.split("docker exec ")[1].split()[0]
    assert "No orchestrator configured" in handed_over(terminal, container, registry)
    running = subprocess.run(
        ["docker", "inspect", "--format={{.Config.Image}}", container],
        check=True,
        capture_output=True,
        text=True,
    )
    assert running.stdout.strip() == edited
    assert terminal.invoke("stop").returncode == 0
    assert terminal.invoke("stop").stderr == "no Ceph of ours ran on this engine\n"
    volumes = ["docker", "volume", "ls", "--quiet", f"--filter=name={container}"]
    assert subprocess.run(volumes, check=True, capture_output=True, text=True).stdout.strip() == container
    assert terminal.invoke("stop --wipe").returncode == 0
    assert subprocess.run(volumes, check=True, capture_output=True, text=True).stdout == ""
    assert not config.exists()
