"""Nodes that are looked at: what they have, whether its tools start, and what later images replaced."""

import json
import re
import shutil
import subprocess
import uuid
from pathlib import Path

import pytest

from cephtasks.engine import Engine, EngineImage
from cephtasks.nodes.standing import digests, missing
from cephtasks.oci import Descriptor, Image, Layer, encode, image
from lab.cluster import Cluster
from lab.engines import tiny_image
from lab.terminal import Terminal

_TOOLS = {"bin/works": b"#!/bin/sh\n", "bin/breaks": b"#!/bin/sh\necho no such thing\nexit 3\n"}


@pytest.fixture
def repository() -> str:
    """A repository of this test alone."""
    return f"nodes/{uuid.uuid4().hex[:12]}"


@pytest.fixture
def terminal(cluster: Cluster, registry: str, repository: str, tmp_path: Path) -> Terminal:
    """Settings with three of the nodes."""
    made = Terminal(tmp_path)
    made.set(
        NODES=cluster.nodes("one", "ssh", "tls"),
        NODES_CERTS=cluster.certificates,
        REGISTRY=registry,
        REPOSITORY=repository,
        TAG="new",
        STATE_DIR=tmp_path / "state",
        CHECK_TOOLS="works",
    )
    return made


def publish(engine: Engine, name: str, **files: bytes) -> None:
    """Push an image with a `df` and two tools, one of which does not start, beside further files."""
    tiny_image(engine, name, files=_TOOLS | files, links={"bin/df": "busybox"})
    subprocess.run(["docker", "push", "--quiet", name], check=True, capture_output=True)
    engine.untag(name)


def test_status_tells_what_nodes_have_and_would_fetch(
    cluster: Cluster, engine: Engine, terminal: Terminal, registry: str, repository: str, tmp_path: Path
) -> None:
    """Before a pull, after it, and when the registry has something newer; then the pull fetches just that."""
    name = f"{registry}/{repository}:new"
    publish(engine, name)
    before = json.loads(terminal.invoke("nodes.status --json", PATH=cluster.path).stdout)
    assert terminal.invoke("nodes.pull", PATH=cluster.path).returncode == 0
    after = json.loads(terminal.invoke("nodes.status --json", PATH=cluster.path).stdout)
    publish(engine, name, more=b"an edit")
    table = terminal.invoke("nodes.status", PATH=cluster.path)
    newer = json.loads(terminal.invoke("nodes.status --json", PATH=cluster.path).stdout)
    pulled = json.loads(terminal.invoke("nodes.pull --json", PATH=cluster.path).stdout)
    free = shutil.disk_usage(tmp_path).free
    for node in before["nodes"]:
        assert (node["tags"], node["fetch_layers"]) == ({}, 1)
        assert re.match(r"\d+\.\d+", node["engine"])
    for node in after["nodes"]:
        assert (node["tags"], node["fetch_bytes"]) == ({"new": after["digest"]}, 0)
        assert node["free_bytes"] == pytest.approx(free, rel=0.2)
    assert newer["digest"] != after["digest"]
    fetched = [node["fetched_bytes"] for node in pulled["nodes"]]
    assert [node["fetch_bytes"] for node in newer["nodes"]] == fetched
    assert table.stdout.splitlines()[0].split() == ["node", "engine", "new", "free", "to", "fetch", "detail"]
    assert after["digest"].removeprefix("sha256:")[:12] in table.stdout


def test_status_of_what_is_in_no_registry(cluster: Cluster, terminal: Terminal) -> None:
    """The nodes are told of all the same; what a pull would fetch is not known."""
    done = terminal.invoke("nodes.status --json", PATH=cluster.path)
    assert done.returncode == 0
    assert "warning: what a pull would fetch is not known: " in done.stderr
    assert [node["fetch_bytes"] for node in json.loads(done.stdout)["nodes"]] == [None] * 3


def test_a_node_that_is_not_there_is_told_beside_the_others(
    cluster: Cluster, terminal: Terminal, tmp_path: Path
) -> None:
    """Exit 1 with its name, and a row for each node."""
    nodes = f"{cluster.nodes('one')} unix://{tmp_path}/nobody"
    done = terminal.invoke("nodes.status", f"--nodes={nodes}", PATH=cluster.path)
    assert done.returncode == 1
    assert f"error: 1 of 2 nodes failed: unix://{tmp_path}/nobody\n" in done.stderr
    assert "no Docker engine answers" in done.stdout.splitlines()[2]


def test_check_starts_the_tools_on_the_nodes(
    cluster: Cluster, engine: Engine, terminal: Terminal, registry: str, repository: str
) -> None:
    """Well where all start, exit 1 where one does not; a node without the image is told to pull."""
    publish(engine, f"{registry}/{repository}:new")
    lacking = terminal.invoke("nodes.check", PATH=cluster.path)
    assert terminal.invoke("nodes.pull", PATH=cluster.path).returncode == 0
    well = terminal.invoke("nodes.check", PATH=cluster.path)
    broken = terminal.invoke("nodes.check --tool works --tool breaks --json", PATH=cluster.path)
    assert lacking.returncode == 1
    assert lacking.stderr.endswith("hint: invoke nodes.pull\n")
    assert well.returncode == 0, well.stderr
    assert [line.split()[1] for line in well.stdout.splitlines()[1:]] == ["ok"] * 3
    assert broken.returncode == 1
    told = json.loads(broken.stdout)["nodes"]
    assert [node["ok"] for node in told] == [False] * 3
    assert all("breaks: " in node["error"] for node in told)
    assert [(tool["tool"], tool["ok"]) for tool in told[0]["tools"]] == [("works", True), ("breaks", False)]
    for node in ("one", "ssh", "tls"):
        assert cluster.engines[node].docker("ps", "--all", "--quiet").stdout == ""


def test_prune_removes_what_later_images_replaced(
    cluster: Cluster, engine: Engine, terminal: Terminal, registry: str, repository: str
) -> None:
    """Only with --yes, only of the repository, and not what a container uses; the tag's image stays."""
    name = f"{registry}/{repository}:new"
    for version in (b"1", b"2", b"3"):
        publish(engine, name, version=version)
        assert terminal.invoke("nodes.pull", PATH=cluster.path).returncode == 0
    one = cluster.engines["one"]
    listing = ("images", "--digests", "--format={{.Digest}} {{.Tag}}", f"{registry}/{repository}")
    digests = {line.split()[0] for line in one.docker(*listing).stdout.splitlines() if "<none>" in line}
    used = min(digests)
    container = one.docker("create", f"{registry}/{repository}@{used}", "true").stdout.strip()
    shown = terminal.invoke("nodes.prune --json", PATH=cluster.path)
    assert len(one.docker(*listing).stdout.splitlines()) == 3
    done = terminal.invoke("nodes.prune --yes", PATH=cluster.path)
    left = one.docker(*listing).stdout.splitlines()
    one.docker("rm", container)
    assert [len(node["images"]) for node in json.loads(shown.stdout)["nodes"]] == [2] * 3
    assert done.returncode == 0, done.stderr
    assert re.search(r"1 removed +1 in use", done.stdout)
    assert {line.split()[0] for line in left if "<none>" in line} == {used}
    assert len(left) == 2
    assert len(cluster.engines["tls"].docker(*listing).stdout.splitlines()) == 1


def has(*layers: str, tags: tuple[str, ...] = (), digests: tuple[str, ...] = ()) -> EngineImage:
    """An image of a node, by the diff ids of its layers."""
    return EngineImage("id", tags, digests, layers, "amd64", (), 0)


def wanted(**sizes: int) -> Image:
    """An image whose layers have these diff ids and blobs of these sizes."""
    layers = [Layer(Descriptor("", f"sha256:{name * 64}", size), name) for name, size in sizes.items()]
    return image(encode({"rootfs": {"diff_ids": list(sizes)}}), layers)


def test_a_layer_counts_as_there_only_above_the_same_layers() -> None:
    """Engines know layers by all that lies below them."""
    target = wanted(a=100, b=20, c=3)
    config = target.config_blob.size
    assert missing(target, []) == (3, 123 + config)
    assert missing(target, [has("b", "c"), has("a", "c")]) == (2, 23 + config)
    assert missing(target, [has("a"), has("a", "b", "d")]) == (1, 3 + config)
    assert missing(target, [has("a", "b", "c", "d")]) == (0, config)


def test_the_digest_of_a_tag_is_that_of_the_same_repository() -> None:
    """Other names of the image do not count; what came from no registry has none."""
    both = has(tags=("lab/ceph:new", "lab/ceph:old", "lab/cephfs:x"), digests=("else/ceph@d1", "lab/ceph@d2"))
    loaded = has(tags=("lab/ceph:own",))
    assert digests("lab/ceph", [both, loaded]) == {"new": "d2", "old": "d2", "own": ""}
