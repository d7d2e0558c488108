"""Pulls on nodes: real engines, over a socket, ssh and TLS, and what befalls them in the middle."""

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from cephtasks.engine import ALREADY_THERE, DOWNLOADING
from cephtasks.nodes.pulls import Meter
from cephtasks.oci import Image
from cephtasks.reference import parse
from cephtasks.registry import Client, push
from cephtasks.store import Store
from lab.cluster import Cluster
from lab.disks import small_disk
from lab.engines import Node, node
from lab.images import packed
from lab.processes import free_port
from lab.registries import certificates, registry
from lab.terminal import Terminal
from lab.webs import Request, Stall, between

_HEALTHY = ("one", "two", "ssh")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return Store(tmp_path / "store")


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    """A folder where `invoke` is typed."""
    made = Terminal(tmp_path / "typed")
    made.folder.mkdir()
    return made


@pytest.fixture
def repository(request: pytest.FixtureRequest) -> str:
    """A repository of this test alone, so that no node has anything of it."""
    return f"nodes/{request.node.name.partition('[')[0].lower().replace('_', '-')}"


@pytest.fixture
def content() -> bytes:
    """What no node has and nothing compresses; more than a small disk holds."""
    return os.urandom(8_000_000)


def pushed(store: Store, host: str, repository: str, *contents: bytes) -> Image:
    """An image with a layer for each content, as `new` in the registry."""
    image = packed(store, repository, [{f"file{index}": data} for index, data in enumerate(contents)])
    with Client(host) as client:
        push(client, parse(f"{host}/{repository}:new"), image, store.open)
    return image


def is_of_a_layer(request: Request, image: Image) -> bool:
    """Whether a node asks for the first layer."""
    return request.method == "GET" and request.path.endswith(image.layers[0].blob.digest)


def settings(cluster: Cluster, terminal: Terminal, host: str, repository: str, *nodes: str) -> None:
    """Write the `.env` of a cluster."""
    terminal.set(
        NODES=" ".join(nodes) or cluster.nodes(),
        NODES_CERTS=cluster.certificates,
        REGISTRY=host,
        REPOSITORY=repository,
        TAG="new",
        STATE_DIR=terminal.folder / "state",
    )


def has(engine: Node, name: str) -> str:
    """The id of an engine's image of that name, or nothing."""
    return engine.docker("image", "inspect", "--format={{.Id}}", name, check=False).stdout.strip()


def test_every_node_has_the_digest_that_was_pushed_and_its_tag(
    cluster: Cluster, store: Store, terminal: Terminal, repository: str, content: bytes, tmp_path: Path
) -> None:
    """Over socket, ssh and TLS; what a node is said to have fetched is what the registry sent."""
    with registry(tmp_path / "registry") as source:
        image = pushed(store, source.host, repository, content)
        settings(cluster, terminal, source.host, repository)
        before = source.served_bytes()
        done = terminal.invoke("nodes.pull --json", PATH=cluster.path)
        assert done.returncode == 0, done.stderr
        served = source.served_bytes() - before - image.config_blob.size  # our own look at the image
    told = json.loads(done.stdout)
    assert (told["reference"], told["digest"]) == (f"{source.host}/{repository}:new", image.digest)
    assert [item["node"] for item in told["nodes"]] == list(cluster.urls.values())
    for engine in cluster.engines.values():
        for name in (":new", f"@{image.digest}"):
            assert has(engine, f"{source.host}/{repository}{name}") == image.id
    whole = image.config_blob.size + sum(item.blob.size for item in image.layers)
    assert [item["fetched_bytes"] for item in told["nodes"]] == [whole] * 5
    assert served == whole * 5


def test_a_delta_is_all_that_a_node_fetches(
    cluster: Cluster, store: Store, terminal: Terminal, repository: str, content: bytes, tmp_path: Path
) -> None:
    """Of the next image only the layer that was appended, and its config; nothing when it comes again."""
    with registry(tmp_path / "registry") as source:
        pushed(store, source.host, repository, content)
        settings(cluster, terminal, source.host, repository, *map(cluster.nodes, _HEALTHY))
        assert terminal.invoke("nodes.pull", PATH=cluster.path).returncode == 0
        second = pushed(store, source.host, repository, content, b"an edit")
        before = source.served_bytes()
        told = [json.loads(terminal.invoke("nodes.pull --json", PATH=cluster.path).stdout) for _ in range(2)]
        looks = 2 * second.config_blob.size
        served = source.served_bytes() - before - looks
    delta = second.config_blob.size + second.layers[-1].blob.size
    fetched = [[item["fetched_bytes"] for item in each["nodes"]] for each in told]
    assert fetched == [[delta] * 3, [0] * 3]
    assert served == delta * 3


def test_one_that_fails_does_not_hold_up_the_others(
    cluster: Cluster, store: Store, terminal: Terminal, repository: str, content: bytes, tmp_path: Path
) -> None:
    """Killed in mid-pull, on a full disk, not there, with a wrong CA: named, and the rest have the image."""
    wrong = certificates(tmp_path / "another CA")
    (cluster.certificates / "localhost").mkdir()
    with ExitStack() as started:
        started.callback(shutil.rmtree, cluster.certificates / "localhost")
        for name, file in (("ca", wrong.ca), ("cert", wrong.certificate), ("key", wrong.key)):
            shutil.copy(file, cluster.certificates / "localhost" / f"{name}.pem")
        source = started.enter_context(registry(tmp_path / "registry"))
        dying = started.enter_context(node(tmp_path / "dying"))
        started.enter_context(small_disk(tmp_path / "disk", "6m"))
        (tmp_path / "full").mkdir()
        (tmp_path / "full" / "data").symlink_to(tmp_path / "disk")
        full = started.enter_context(node(tmp_path / "full"))
        killed = threading.Event()

        def meddle(request: Request) -> None:
            """The first who asks for a layer, of which the config is none, is the first of NODES."""
            if is_of_a_layer(request, image) and not killed.is_set():
                killed.set()
                dying.process.kill()

        web = started.enter_context(between(source.host, meddle))
        image = pushed(store, source.host, repository, content)
        faulty = [dying.url, full.url, f"unix://{tmp_path}/nobody", cluster.urls["tls"]]
        settings(cluster, terminal, web.host, repository, *faulty, *map(cluster.nodes, _HEALTHY))
        done = terminal.invoke("nodes.pull", PATH=cluster.path)
    assert done.returncode == 1
    assert f"error: 4 of 7 nodes failed: {', '.join(faulty)}\n" in done.stderr
    rows = {line.split()[0]: line for line in done.stdout.splitlines()}
    reasons = ("does not answer any more|Connection refused", "no space left", "No such file", "certificate")
    for url, reason in zip(faulty, reasons, strict=True):
        assert re.search(rf"failed .*({reason})", rows[url])
    for name in _HEALTHY:
        assert " pulled " in rows[cluster.urls[name]]
        assert has(cluster.engines[name], f"{web.host}/{repository}:new") == image.id


def test_a_registry_that_is_started_again_in_the_middle_costs_only_time(
    cluster: Cluster, store: Store, terminal: Terminal, repository: str, content: bytes, tmp_path: Path
) -> None:
    """What was begun breaks off, and is tried again until it works."""
    port = free_port()
    with ExitStack() as started:
        first = ExitStack()
        started.callback(first.close)
        source = first.enter_context(registry(tmp_path / "registry", port=port))
        image = pushed(store, source.host, repository, content)
        ended = threading.Event()

        def meddle(request: Request) -> None:
            if is_of_a_layer(request, image) and not ended.is_set():
                first.close()
                ended.set()

        web = started.enter_context(between(source.host, meddle))
        settings(cluster, terminal, web.host, repository, *map(cluster.nodes, _HEALTHY))
        typed = subprocess.Popen(
            terminal.command("nodes.pull"), cwd=terminal.folder, env=terminal.environment(PATH=cluster.path)
        )
        assert ended.wait(60)
        started.enter_context(registry(tmp_path / "registry", port=port))
        assert typed.wait(120) == 0
    for name in _HEALTHY:
        assert has(cluster.engines[name], f"{web.host}/{repository}:new") == image.id


def test_ctrl_c_in_the_middle_leaves_nothing_and_the_same_line_goes_on(
    cluster: Cluster, store: Store, terminal: Terminal, repository: str, content: bytes, tmp_path: Path
) -> None:
    """Exit 130 at once, though a node waits for its bytes; no ssh and no socket is left behind."""
    with registry(tmp_path / "registry") as source:
        image = pushed(store, source.host, repository, content)
        open_again = threading.Event()

        def meddle(request: Request) -> Stall | None:
            return Stall() if is_of_a_layer(request, image) and not open_again.is_set() else None

        # The folder's path is short enough for a socket in it.
        with between(source.host, meddle) as web, tempfile.TemporaryDirectory() as scratch:
            settings(cluster, terminal, web.host, repository, cluster.nodes("ssh"))
            environment = terminal.environment(PATH=cluster.path, TMPDIR=scratch)
            typed = subprocess.Popen(
                terminal.command("nodes.pull"),
                cwd=terminal.folder,
                env=environment,
                stderr=subprocess.PIPE,
                text=True,
            )
            assert web.stalled.wait(60)
            typed.send_signal(signal.SIGINT)
            _, said = typed.communicate(timeout=60)
            assert (typed.returncode, said.splitlines()[-2:]) == (
                130,
                ["error: stopped", "hint: type the same again"],
            )
            assert list(Path(scratch).iterdir()) == []
            open_again.set()
            web.closing.set()  # an engine waits for an answer that never comes, whoever still wants it
            assert terminal.invoke("nodes.pull", PATH=cluster.path).returncode == 0
    assert has(cluster.engines["ssh"], f"{web.host}/{repository}:new") == image.id


def test_nodes_pull_with_the_login_of_whoever_types(
    cluster: Cluster, store: Store, terminal: Terminal, repository: str, content: bytes, tmp_path: Path
) -> None:
    """A node needs no login of its own: the engine's API takes the caller's, as `docker pull` has it."""
    with registry(tmp_path / "registry", login=("me", "a secret")) as source:
        image = packed(store, repository, [{"file": content}])
        with Client(source.host, credentials=lambda _: ("me", "a secret")) as client:
            push(client, parse(f"{source.host}/{repository}:new"), image, store.open)
        settings(cluster, terminal, source.host, repository, *map(cluster.nodes, _HEALTHY))
        config = tmp_path / "docker"
        config.mkdir()
        login = base64.b64encode(b"me:a secret").decode()
        (config / "config.json").write_text(json.dumps({"auths": {source.host: {"auth": login}}}))
        done = terminal.invoke("nodes.pull", PATH=cluster.path, DOCKER_CONFIG=str(config))
    assert done.returncode == 0, done.stderr
    assert "secret" not in done.stdout + done.stderr
    assert has(cluster.engines["one"], f"{source.host}/{repository}:new") == image.id


def test_a_dry_run_shows_the_docker_lines_and_pulls_nothing(
    cluster: Cluster, store: Store, terminal: Terminal, repository: str, content: bytes, tmp_path: Path
) -> None:
    """One line to pull and one to tag, for each node, as they would be typed."""
    with registry(tmp_path / "registry") as source:
        image = pushed(store, source.host, repository, content)
        settings(cluster, terminal, source.host, repository, *map(cluster.nodes, ("one", "tls")))
        done = terminal.invoke("--dry nodes.pull", PATH=cluster.path)
    assert done.returncode == 0, done.stderr
    name = f"{source.host}/{repository}"
    first = f"docker --host={cluster.urls['one']} "
    assert f"{first}pull {name}@{image.digest}\n{first}tag {name}@{image.digest} {name}:new\n" in done.stderr
    assert (
        f"docker --host={cluster.urls['tls']} --tlsverify --tlscacert={cluster.certificates}/ca.pem "
        in done.stderr
    )
    assert done.stdout == ""
    assert not has(cluster.engines["one"], f"{name}:new")


def test_without_nodes_or_certificates_nothing_is_asked(terminal: Terminal) -> None:
    """Exit 2, with a line for each file that is missing."""
    terminal.set(NODES="")
    done = terminal.invoke("nodes.pull")
    assert (done.returncode, done.stderr.splitlines()[0]) == (2, "error: NODES names no node")
    terminal.set(NODES="tcp://n[1-2]", NODES_CERTS="certs")
    done = terminal.invoke("nodes.pull")
    assert done.returncode == 2
    names = ("ca.pem", "cert.pem", "key.pem")
    wanted = [f"error: tcp://n{n} needs certs/{name}, which is not there" for n in (1, 2) for name in names]
    assert done.stderr.splitlines() == [*wanted, "hint: put them there, or set NODES_CERTS"]


def test_an_image_that_is_not_in_the_registry_is_asked_of_no_node(terminal: Terminal, registry: str) -> None:
    """It is looked up once, before any node is reached."""
    terminal.set(NODES="unix:///nobody", REGISTRY=registry)
    done = terminal.invoke(f"nodes.pull {registry}/nobody/pushed:this")
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {registry}/nobody/pushed:this is not in {registry}\n")


def test_the_meter_counts_what_engines_say() -> None:
    """Layers that are there do not count, those that are through count whole, retries count once."""
    meter = Meter({"a": 100, "b": 50, "c": 7})
    for layer, done, status in [
        ("a", 0, "Pulling fs layer"),
        ("b", 0, "Pulling fs layer"),
        ("c", 0, "Pulling fs layer"),
        ("c", 0, ALREADY_THERE),
        ("new", 0, "Pulling from"),
        ("a", 60, DOWNLOADING),
        ("a", 30, DOWNLOADING),
    ]:
        meter.note(layer, done, status)
    assert (meter.done, meter.total) == (30, 150)
    meter.note("b", 0, "Download complete")
    meter.note("a", 90, "Extracting")
    assert (meter.done, meter.total) == (150, 150)
