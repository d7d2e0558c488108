"""A registry of one's own, as a user types it: engines, skopeo and our own tasks against it."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cephtasks.local_registry import machine
from cephtasks.oci import Image
from cephtasks.store import Store
from lab import registries
from lab.engines import Node, node
from lab.images import packed
from lab.processes import answers, free_port, wait_until
from lab.terminal import Terminal

LOGIN = ("alice", "a word nobody else has")


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    """A user's folder with a registry of its own, which is ended afterwards, and an image to push."""
    made = Terminal(tmp_path / "user")
    made.folder.mkdir()
    _set(made, f"localhost:{free_port()}")
    packed(_store(made), "app", [{"a": os.urandom(20_000)}, {"b": b"b"}])
    yield made
    made.invoke("registry.down")


def _set(terminal: Terminal, host: str, **more: object) -> None:
    """The user's `.env`."""
    values = {"REGISTRY": host, "STATE_DIR": terminal.folder / "state", "REPOSITORY": "team/app"}
    terminal.set(**values, IMAGE_NAME="app", TAG="1", SHA1_OR_REF="", **more)


def _store(terminal: Terminal) -> Store:
    return Store(terminal.folder / "state" / "images")


def _typed(terminal: Terminal, line: str, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    """A line that ends well."""
    done = terminal.invoke(line, *words, **more)
    assert done.returncode == 0, done.stderr
    return done


def _host(terminal: Terminal, line: str, *words: str) -> str:
    return _typed(terminal, line, *words).stdout.strip()


@contextmanager
def _trusted(host: str, ca: Path) -> Iterator[None]:
    """The CA where engines look for it."""
    folder = Path("/etc/docker/certs.d", host)
    folder.mkdir(parents=True)
    try:
        shutil.copy(ca, folder / "ca.crt")
        yield
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def an_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node with an empty store."""
    with node(tmp_path_factory.mktemp("node")) as made:
        yield made


def test_other_machines_reach_it_by_tls_and_login(terminal: Terminal, an_engine: Node) -> None:
    """A node needs what registry.up tells, and no more; our tasks find the CA by themselves."""
    logins, config = terminal.folder / "logins", terminal.folder / "docker"
    subprocess.run(["htpasswd", "-Bbc", logins, *LOGIN], check=True, capture_output=True)
    port = free_port()
    up = ["registry.up --tls --listen", f"{machine.outward()}:{port}", "--htpasswd", str(logins)]
    done = _typed(terminal, *up)
    host = done.stdout.strip()
    assert host == f"{machine.outward()}:{port}"
    assert f"docker login {host}" in done.stderr
    assert "warning" not in done.stderr
    told = re.search(r"engines need its CA, (\S+), as (\S+)$", done.stderr, re.MULTILINE)
    assert told is not None
    assert told[2] == f"/etc/docker/certs.d/{host}/ca.crt"

    _set(terminal, host)
    without = terminal.invoke("push", DOCKER_CONFIG=str(config))
    assert (without.returncode, f"hint: docker login {host}" in without.stderr) == (1, True)
    user = ("--config", str(config), "login", "--username", LOGIN[0], "--password-stdin", host)
    assert an_engine.docker("pull", f"{host}/team/app:1", check=False).returncode == 1
    with _trusted(host, Path(told[1])):
        command = ["docker", "-H", f"unix://{an_engine.socket}", *user]
        subprocess.run(command, input=LOGIN[1], text=True, check=True, capture_output=True)
        pushed = _typed(terminal, "push", DOCKER_CONFIG=str(config)).stdout.strip()
        an_engine.docker("--config", str(config), "pull", pushed)
    listed = _typed(terminal, "catalog", DOCKER_CONFIG=str(config)).stdout
    assert json.loads(listed) == {"repositories": ["team/app"]}
    _assert_skopeo_needs_the_ca(pushed, Path(told[1]))
    _assert_secret(terminal, LOGIN[1])


def _assert_skopeo_needs_the_ca(reference: str, ca: Path) -> None:
    inspect = ["skopeo", "inspect", "--creds", ":".join(LOGIN), f"docker://{reference}"]
    assert b"unknown authority" in subprocess.run(inspect, check=False, capture_output=True).stderr
    found = subprocess.run([*inspect, f"--cert-dir={ca.parent}"], check=True, capture_output=True).stdout
    assert json.loads(found)["Digest"] == reference.partition("@")[2]


def _assert_secret(terminal: Terminal, word: str) -> None:
    """Nothing that we wrote holds it, and no registry's command line."""
    for path in (terminal.folder / "state" / "registry").rglob("*"):
        assert not path.is_file() or word.encode() not in path.read_bytes(), path
    assert (
        word not in subprocess.run(["ps", "-eo", "args"], check=True, capture_output=True, text=True).stdout
    )


def test_by_tls_on_loopback_our_tasks_need_no_setting(terminal: Terminal) -> None:
    """The CA is found with the registry that is up; typed again, nothing happens."""
    host = _typed(terminal, "registry.up --tls push catalog").stdout.splitlines()[0]
    before = _pid(terminal)
    again = _typed(terminal, "registry.up --tls")
    assert f"the registry at {host} is up already" in again.stderr
    assert _pid(terminal) == before
    with socket.create_connection(("127.0.0.1", int(host.rpartition(":")[2]))) as plain:
        plain.sendall(b"GET /v2/ HTTP/1.0\r\n\r\n")
        assert b"400 Bad Request" in plain.recv(1000)


def test_other_options_start_it_anew_with_its_data(terminal: Terminal) -> None:
    """From loopback to all addresses; what that means without login is said."""
    _typed(terminal, "registry.up push")
    done = _typed(terminal, "registry.up --listen 0.0.0.0")
    host = done.stdout.strip()
    assert host == f"{machine.outward()}:{host.rpartition(':')[2]}"
    assert "starts anew, with the data it has: it was started by invoke registry.up\n" in done.stderr
    assert f"warning: whoever reaches {host} can push, pull and delete" in done.stderr
    assert f'{{"insecure-registries": ["{host}"]}}' in done.stderr
    assert f".env: REGISTRY={host} REGISTRY_INSECURE={host}" in done.stderr
    _set(terminal, host, REGISTRY_INSECURE=host)
    assert json.loads(_typed(terminal, "catalog").stdout) == {"repositories": ["team/app"]}
    assert host in _typed(terminal, "registry.up --listen 0.0.0.0").stderr.splitlines()[0]


def test_a_new_name_renews_the_certificate(terminal: Terminal) -> None:
    """The registry is started anew with it; the CA stays, so nodes need nothing new."""
    port = _host(terminal, "registry.up --tls").rpartition(":")[2]
    ca = terminal.folder / "state/registry/tls/ca.crt"
    before = ca.read_bytes()
    other = f"127.0.0.9:{port}"
    _set(terminal, other)
    done = _typed(terminal, f"registry.up --tls --listen {machine.EVERY}")
    assert "starts anew, with the data it has" in done.stderr
    verify = ["openssl", "s_client", "-connect", f"localhost:{port}", "-CAfile", str(ca)]
    seen = subprocess.run(
        [*verify, "-verify_ip", machine.outward()], input=b"", check=True, capture_output=True
    )
    assert b"Verification: OK" in seen.stdout
    assert ca.read_bytes() == before


def test_a_certificate_that_is_lost_is_made_anew(terminal: Terminal) -> None:
    """And used: the options are the same, and the registry starts anew all the same."""
    _typed(terminal, "registry.up --tls")
    (terminal.folder / "state/registry/tls/server.pem").unlink()
    done = _typed(terminal, "registry.up --tls")
    assert "starts anew, with the data it has: its certificate was made anew" in done.stderr
    _typed(terminal, "push catalog")


def test_a_mirror_fetches_once_what_many_nodes_pull(
    terminal: Terminal, tmp_path: Path, an_engine: Node
) -> None:
    """From a registry with TLS, whose CA is REGISTRY_CA; bytes are counted there. Nobody pushes to it."""
    tls = registries.certificates(tmp_path / "tls")
    with registries.registry(tmp_path / "upstream", tls=tls) as upstream:
        mirror = f"localhost:{free_port()}"
        _set(terminal, upstream.host, REGISTRY_CA=tls.ca)
        _typed(terminal, "push")
        image = _store(terminal).require_image("app")
        _set(terminal, mirror, REGISTRY_CA=tls.ca)
        done = _typed(terminal, f"registry.up --mirror-of https://{upstream.host}")
        assert f"nodes pull {mirror}/REPOSITORY in place of {upstream.host}/REPOSITORY" in done.stderr
        _copy(f"{mirror}/team/app:1", tmp_path / "first")
        kept = f"mirror-https-{upstream.host.replace(':', '-')}/docker/registry/v2/blobs"
        data = terminal.folder / "state/registry" / kept
        wait_until(lambda: len(list(data.glob("*/*/*/data"))) == len(image.layers) + 2, "what is kept")
        fetched = _blobs_fetched(upstream)
        assert set(fetched) == {image.id, *(layer.blob.digest for layer in image.layers)}
        _copy(f"{mirror}/team/app:1", tmp_path / "second")
        an_engine.docker("pull", f"{mirror}/team/app:1")
        assert _blobs_fetched(upstream) == fetched
        shown = json.loads(_typed(terminal, "registry.status --json").stdout)
        assert (shown["mirror_of"], shown["repositories"]) == (f"https://{upstream.host}", 1)
        packed(_store(terminal), "new", [{"new": b"new"}])
        assert terminal.invoke("push new").returncode == 1
        refused = terminal.invoke("registry.gc")
        assert (refused.returncode, "is a mirror" in refused.stderr) == (1, True)
    an_engine.docker("rmi", f"{mirror}/team/app:1")
    assert an_engine.docker("pull", f"{mirror}/team/app:1").returncode == 0  # with the upstream gone


def _copy(reference: str, folder: Path) -> None:
    """All of an image, fetched by skopeo."""
    command = ["skopeo", "copy", "--quiet", "--src-tls-verify=false", f"docker://{reference}"]
    subprocess.run([*command, f"dir:{folder}"], check=True, capture_output=True)


def _blobs_fetched(upstream: registries.Registry) -> list[str]:
    """The digests of the blobs that a registry sent."""
    asked = upstream.requests()
    return [path.rpartition("/")[2] for method, path, _ in asked if method == "GET" and "/blobs/" in path]


def test_a_mirror_of_nothing_is_found_before_anything_starts(terminal: Terminal) -> None:
    """The registry that is up stays up."""
    _typed(terminal, "registry.up push")
    done = terminal.invoke(f"registry.up --mirror-of localhost:{free_port()}")
    assert (done.returncode, "nothing listens" in done.stderr) == (1, True)
    assert json.loads(_typed(terminal, "catalog").stdout) == {"repositories": ["team/app"]}


def test_how_it_stands(terminal: Terminal) -> None:
    """Before, while it is up, when it was killed, and after."""
    begun = _typed(terminal, "registry.status --json registry.up --tls push").stdout.splitlines()
    assert "".join(begun[:3]) == '{  "up": false}'
    host = begun[3]
    image = _store(terminal).require_image("app")
    shown = json.loads(_typed(terminal, "registry.status --json").stdout)
    wanted = {"up": True, "host": host, "repositories": 1, "bytes": _size(image), "htpasswd": None}
    assert shown.items() >= {**wanted, "trouble": "", "command": "invoke registry.up --tls"}.items()
    assert shown["tls_until"] > shown["since"]
    table = _typed(terminal, "registry.status").stdout
    assert re.search(r"^state +up since ", table, re.MULTILINE)
    assert re.search(rf"^host +{host}$", table, re.MULTILINE)
    os.kill(_pid(terminal), signal.SIGKILL)
    wait_until(lambda: not answers(int(host.rpartition(":")[2])), "the end")
    assert re.search(r"^state +down$", _typed(terminal, "registry.status").stdout, re.MULTILINE)
    _typed(terminal, "registry.up --tls registry.down")
    assert json.loads(_typed(terminal, "registry.status --json").stdout)["up"] is False


def _size(image: Image) -> int:
    return len(image.manifest) + len(image.config) + sum(layer.blob.size for layer in image.layers)


def _pid(terminal: Terminal) -> int:
    record = json.loads((terminal.folder / "state/registry/pid.json").read_text())
    return int(record["process"]["pid"])


def test_gc_frees_what_a_deleted_tag_held(terminal: Terminal) -> None:
    """It tells how much; `--dry` removes nothing; the registry is up afterwards, its other images whole."""
    gone = packed(_store(terminal), "gone", [{"c": os.urandom(50_000)}])
    host = _typed(terminal, "registry.up push").stdout.splitlines()[0]
    _typed(terminal, f"push gone --to {host}/team/app:2 registry.delete {host}/team/app:2")
    before = _pid(terminal)
    dry = json.loads(_typed(terminal, "--dry registry.gc --untagged --json").stdout)
    assert dry["bytes"] >= _size(gone)
    assert (dry["manifests"], dry["removed"], _pid(terminal)) == (1, False, before)
    done = _typed(terminal, "registry.gc --untagged --json")
    assert json.loads(done.stdout) == {**dry, "removed": True}
    assert _pid(terminal) != before
    assert _typed(terminal, "registry.gc --untagged").stdout == "freed 0 B: 0 blobs, 0 manifests\n"
    _copy(f"{host}/team/app:1", terminal.folder / "copy")


def test_gc_works_while_it_is_down(terminal: Terminal) -> None:
    """And leaves it so."""
    host = _typed(terminal, "registry.up push registry.down").stdout.splitlines()[0]
    _garbage(terminal, 3)
    assert _typed(terminal, "registry.gc").stdout == "freed 12 B: 3 blobs, 0 manifests\n"
    assert not answers(int(host.rpartition(":")[2]))


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL])
def test_gc_that_is_stopped(terminal: Terminal, ending: signal.Signals) -> None:
    """After Ctrl-C the registry is up again; killed, it comes with registry.up. Typed again, gc ends."""
    host = _typed(terminal, "registry.up --tls push").stdout.splitlines()[0]
    port = int(host.rpartition(":")[2])
    _garbage(terminal, 2_000)
    command, environment = terminal.command("registry.gc"), terminal.environment()
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as user:
        deadline = time.monotonic() + 30
        while answers(port) and time.monotonic() < deadline:
            time.sleep(0.002)
        user.send_signal(ending)
        user.communicate(timeout=60)
    assert user.returncode == (130 if ending == signal.SIGINT else -ending)
    assert answers(port) == (ending == signal.SIGINT)
    _typed(terminal, "registry.up --tls registry.gc catalog")
    status = json.loads(_typed(terminal, "registry.status --json").stdout)
    assert (status["up"], status["bytes"]) == (True, _size(_store(terminal).require_image("app")))


def _garbage(terminal: Terminal, count: int) -> None:
    """Blobs that no manifest names."""
    blobs = terminal.folder / "state/registry/data/docker/registry/v2/blobs/sha256"
    for number in range(count):
        folder = blobs / f"{number % 256:02x}" / f"{number % 256:02x}{number:062x}"
        folder.mkdir(parents=True)
        (folder / "data").write_bytes(b"junk")
