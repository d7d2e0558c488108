"""Setup of nodes: engines and registries in a network of their own, where loopback excuses nothing."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.engines import Node, node
from lab.networks import Network, network
from lab.registries import Certificates, certificates, registry
from lab.terminal import Terminal


@pytest.fixture(scope="module")
def isolated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """A network with an /etc/docker of its own."""
    with network(tmp_path_factory.mktemp("network") / "docker") as made:
        yield made


@pytest.fixture(scope="module")
def far(isolated: Network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node in that network; only its socket is reached from outside."""
    with node(tmp_path_factory.mktemp("far") / "node", network=isolated) as started:
        yield started


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates of a lab's own CA."""
    return certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def terminal(far: Node, tmp_path: Path) -> Terminal:
    """A folder where `invoke` is typed."""
    (tmp_path / "typed").mkdir()
    return Terminal(tmp_path / "typed")


def test_a_node_gets_the_ca_that_it_lacks(
    isolated: Network, far: Node, tls: Certificates, terminal: Terminal, tmp_path: Path
) -> None:
    """First it is only told; --yes puts it there, nothing is started again, and then the node is ready."""
    with registry(tmp_path / "registry", tls=tls, network=isolated) as source:
        terminal.set(NODES=far.url, REGISTRY=source.host)
        unknown = terminal.invoke("nodes.setup")
        terminal.set(NODES=far.url, REGISTRY=source.host, REGISTRY_CA=tls.ca)
        told = terminal.invoke("nodes.setup")
        placed = isolated.docker / "certs.d" / source.host / "ca.crt"
        assert not placed.exists()
        dry = terminal.invoke("--dry nodes.setup --yes")
        assert not placed.exists()
        done, again = terminal.invoke("nodes.setup --yes"), terminal.invoke("nodes.setup --json")
        pulled = far.docker("pull", f"{source.host}/nobody/pushed:this", check=False).stderr
    assert (told.returncode, unknown.returncode) == (1, 1)
    assert (
        unknown.stderr.splitlines()[-1] == "hint: REGISTRY_CA=FILE invoke nodes.setup --yes puts the CA there"
    )
    assert "certificate signed by unknown authority" in told.stdout
    assert told.stderr.splitlines()[-1] == "hint: invoke nodes.setup --yes puts the CA there"
    assert f"{source.host}/ca.crt" in dry.stderr
    assert (done.returncode, done.stdout.split()[-4:]) == (0, [far.url, "got", "the", "CA"])
    assert placed.read_bytes() == tls.ca.read_bytes()
    assert json.loads(again.stdout)["nodes"][0]["access"] == "ready"
    assert "manifest unknown" in pulled


def test_a_ca_that_is_none_goes_to_no_node(far: Node, terminal: Terminal, tmp_path: Path) -> None:
    """It is told before any node is asked."""
    (tmp_path / "ca").write_text("no certificate")
    terminal.set(NODES=far.url, REGISTRY="lab:5000", REGISTRY_CA=tmp_path / "ca")
    done = terminal.invoke("nodes.setup --yes")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: REGISTRY_CA={tmp_path}/ca is no file with CA certificates\n")


def test_what_stands_beside_the_ca_stays(
    isolated: Network, far: Node, tls: Certificates, terminal: Terminal, tmp_path: Path
) -> None:
    """The host's other files are untouched, and the engine has no image and no container more than before."""
    with registry(tmp_path / "registry", tls=tls, network=isolated) as source:
        beside = isolated.docker / "certs.d" / source.host / "own.txt"
        beside.parent.mkdir(parents=True)
        beside.write_text("mine")
        terminal.set(NODES=far.url, REGISTRY=source.host, REGISTRY_CA=tls.ca)
        assert terminal.invoke("nodes.setup --yes").returncode == 0
    assert beside.read_text() == "mine"
    assert far.docker("images", "--all", "--quiet").stdout == ""
    assert far.docker("ps", "--all", "--quiet").stdout == ""


def test_a_registry_without_tls_needs_an_entry(
    isolated: Network, far: Node, terminal: Terminal, tmp_path: Path
) -> None:
    """The line of daemon.json is told; an engine that has it is ready."""
    with registry(tmp_path / "registry", network=isolated) as source:
        option = f"--insecure-registry={source.host}"
        with node(tmp_path / "allowed", option, network=isolated) as allowed:
            terminal.set(NODES=f"{far.url} {allowed.url}", REGISTRY=source.host)
            told = terminal.invoke("nodes.setup --yes")
    assert told.returncode == 1
    assert f"error: 1 of 2 nodes failed: {far.url}\n" in told.stderr
    rows = {line.split()[0]: line for line in told.stdout.splitlines()}
    assert f'"insecure-registries": ["{source.host}"]' in rows[far.url]
    assert rows[allowed.url].split() == [allowed.url, "ready"]


def test_a_registry_with_a_login_needs_one(
    isolated: Network, far: Node, tls: Certificates, terminal: Terminal, tmp_path: Path
) -> None:
    """The login of whoever types counts, as nodes.pull brings it along; it is not told to anybody."""
    with registry(tmp_path / "registry", tls=tls, login=("me", "a secret"), network=isolated) as source:
        terminal.set(NODES=far.url, REGISTRY=source.host, REGISTRY_CA=tls.ca)
        login = base64.b64encode(b"me:a secret").decode()
        (tmp_path / "config.json").write_text(json.dumps({"auths": {source.host: {"auth": login}}}))
        without = terminal.invoke("nodes.setup --yes")
        with_login = terminal.invoke("nodes.setup", DOCKER_CONFIG=str(tmp_path))
    assert without.returncode == 1
    assert f"docker login {source.host}" in without.stdout
    assert with_login.returncode == 0, with_login.stderr
    assert "secret" not in with_login.stdout + with_login.stderr
