"""Local registry: started and stopped as a user would, by the command and as a container."""

import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from cephtasks import settings
from cephtasks.engine import Engine
from cephtasks.errors import LocalRegistryFailed, PortTaken, RegistryNotLocal, StateUnwritable
from cephtasks.local_registry import lifecycle, process, server
from cephtasks.local_registry.folder import RegistryFolder, Running
from cephtasks.local_registry.lifecycle import LocalRegistry
from cephtasks.local_registry.process import Process
from cephtasks.local_registry.terms import agreed
from cephtasks.reference import parse
from cephtasks.registry import Client, catalog, push
from cephtasks.settings import Settings
from cephtasks.store import Store
from lab.images import packed
from lab.processes import answers, free_port, wait_until


def _settings(folder: Path, host: str) -> Settings:
    return settings.load(flags={"REGISTRY": host, "STATE_DIR": str(folder)}, environment={})


def _up(
    chosen: Settings,
    connect: Callable[[], Engine],
    dry: bool = False,
    image: str = server.IMAGE,
    **options: Any,
) -> LocalRegistry:
    """As `registry.up` does it; `options` are its own."""
    return lifecycle.up(chosen, agreed(chosen.registry, **options), connect, dry, image)


def _no_engine() -> Engine:
    """Where the command is there, no engine is reached."""
    raise AssertionError("no engine is needed")


@pytest.fixture
def chosen(tmp_path: Path) -> Iterator[Settings]:
    """Settings of this test alone; its registry is ended afterwards."""
    made = _settings(tmp_path / "state", f"localhost:{free_port()}")
    yield made
    lifecycle.down(made, Engine.connect)


@pytest.fixture
def folder(chosen: Settings) -> RegistryFolder:
    """Where that registry keeps what it has."""
    return RegistryFolder.of(chosen.state_dir)


def _push_small(host: str, folder: Path) -> None:
    store = Store(folder)
    with Client(host) as client:
        push(client, parse(f"{host}/team/app:1"), packed(store, "small", [{"a": b"a"}]), store.open)


def _repositories(host: str) -> list[str]:
    with Client(host) as client:
        return list(catalog(client))


def _running(folder: RegistryFolder) -> Running:
    running = folder.recall()
    assert running is not None
    return running


def test_it_is_started_and_keeps_what_is_pushed(
    chosen: Settings, folder: RegistryFolder, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The data lies in STATE_DIR, and is there again after a stop and a start."""
    made = _up(chosen, _no_engine)
    assert (made.host, made.data, made.was_up) == (chosen.registry, folder.own_data, False)
    _push_small(chosen.registry, tmp_path / "store")
    assert lifecycle.down(chosen, _no_engine)
    assert not answers(int(chosen.registry.rpartition(":")[2]))
    _up(chosen, _no_engine)
    assert _repositories(chosen.registry) == ["team/app"]
    out, err = capfd.readouterr()
    assert out == ""
    assert err.splitlines() == [
        f"a registry is up at {chosen.registry}, with its data in {folder.own_data}",
        f"the registry at {chosen.registry} is down",
        f"a registry is up at {chosen.registry}, with its data in {folder.own_data}",
    ]


def test_up_is_safe_to_repeat(
    chosen: Settings, folder: RegistryFolder, capfd: pytest.CaptureFixture[str]
) -> None:
    """It says that it is up, and it is the same one."""
    _up(chosen, _no_engine)
    first = folder.recall()
    assert _up(chosen, _no_engine).was_up
    assert folder.recall() == first
    assert capfd.readouterr().err.splitlines()[-1] == f"the registry at {chosen.registry} is up already"


def test_down_is_safe_to_repeat(chosen: Settings, capfd: pytest.CaptureFixture[str]) -> None:
    """Without one it says so, and makes nothing."""
    assert not lifecycle.down(chosen, _no_engine)
    assert not chosen.state_dir.exists()
    _up(chosen, _no_engine)
    assert lifecycle.down(chosen, _no_engine)
    assert not lifecycle.down(chosen, _no_engine)
    assert capfd.readouterr().err.splitlines()[-1] == "no registry of ours is up"


def test_many_at_once_start_one(chosen: Settings) -> None:
    """The others find it up."""
    with ThreadPoolExecutor(3) as pool:
        made = list(pool.map(lambda _: _up(chosen, _no_engine), range(3)))
    assert sorted(each.was_up for each in made) == [False, True, True]


def test_only_this_machine_is_listened_to(chosen: Settings, folder: RegistryFolder) -> None:
    """Whatever is set for us, the registry's own variables among it."""
    _up(chosen, _no_engine)
    port = chosen.registry.rpartition(":")[2]
    assert json.loads(folder.config.read_text())["http"] == {"addr": f"127.0.0.1:{port}"}
    listening = subprocess.run(
        ["ss", "--listening", "--tcp", "--numeric", "--no-header", f"sport = :{port}"],
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    assert re.findall(rf"\S+:{port}\b", listening) == [f"127.0.0.1:{port}"]


def test_deletes_are_allowed(chosen: Settings, tmp_path: Path) -> None:
    """It is one's own."""
    _up(chosen, _no_engine)
    _push_small(chosen.registry, tmp_path / "store")
    with Client(chosen.registry) as client:
        accept = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
        found = client.send("HEAD", "/v2/team/app/manifests/1", "it", headers=accept)
        digest = found.headers["Docker-Content-Digest"]
        client.send("DELETE", f"/v2/team/app/manifests/{digest}", "it", ok=(202,))


@pytest.mark.parametrize("host", ["registry.example:5000", "docker.io"])
def test_a_registry_elsewhere_is_not_ours_to_start(tmp_path: Path, host: str) -> None:
    """It is a usage error, found before anything is made."""
    with pytest.raises(RegistryNotLocal) as caught:
        _up(_settings(tmp_path / "state", host), _no_engine)
    assert caught.value.exit_code == 2
    assert caught.value.fact == f"REGISTRY={host} is not on this machine"
    assert list(tmp_path.iterdir()) == []


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    """Whoever listens there is left alone, and told of."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        chosen = _settings(tmp_path, f"localhost:{port}")
        with pytest.raises(PortTaken) as caught:
            _up(chosen, _no_engine)
        assert caught.value.fact == f"another program listens at localhost:{port}"
        assert caught.value.hint.startswith(f"ss --listening --tcp --processes 'sport = :{port}'")
    assert not lifecycle.down(chosen, _no_engine)
    _up(chosen, _no_engine)
    assert lifecycle.down(chosen, _no_engine)


def test_another_address_while_it_is_up(
    chosen: Settings, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """One STATE_DIR has one registry: it moves, and says so, and what it has moves with it."""
    _up(chosen, _no_engine)
    _push_small(chosen.registry, tmp_path / "store")
    other = _settings(tmp_path / "state", f"localhost:{free_port()}")
    assert not _up(other, _no_engine).was_up
    assert not answers(int(chosen.registry.rpartition(":")[2]))
    assert _repositories(other.registry) == ["team/app"]
    told = f"the registry at {chosen.registry} starts anew, with the data it has: "
    assert f"{told}it was started by invoke registry.up\n" in capfd.readouterr().err


def test_one_that_was_killed_is_started_again(chosen: Settings, folder: RegistryFolder) -> None:
    """Its data is still there."""
    _up(chosen, _no_engine)
    killed = _running(folder).process
    assert killed
    os.kill(killed.pid, signal.SIGKILL)
    wait_until(lambda: not process.is_running(killed), "the end")
    assert not _up(chosen, _no_engine).was_up
    assert _running(folder).process != killed


def test_down_never_ends_another_program(chosen: Settings, folder: RegistryFolder) -> None:
    """A pid may be given anew after the registry has ended."""
    with subprocess.Popen(["sleep", "60"]) as other:
        try:
            folder.path.mkdir(parents=True)
            folder.remember(Running(agreed(chosen.registry), (), 0, Process(other.pid, started=1)))
            assert not lifecycle.down(chosen, _no_engine)
            assert other.poll() is None
        finally:
            other.kill()


@pytest.mark.parametrize(
    "record",
    ["", "{", "[]", '{"host": 1}', '{"terms":{"a":1},"names":[],"since":0,"process":null,"container":""}'],
)
def test_a_damaged_record_says_as_little_as_none(
    chosen: Settings, folder: RegistryFolder, record: str
) -> None:
    """The registry is started anew."""
    folder.path.mkdir(parents=True)
    (folder.path / "pid.json").write_text(record)
    assert not lifecycle.down(chosen, _no_engine)
    assert not _up(chosen, _no_engine).was_up


def test_a_dry_run_changes_nothing(
    chosen: Settings, folder: RegistryFolder, capfd: pytest.CaptureFixture[str]
) -> None:
    """It shows the lines that would."""
    _up(chosen, _no_engine, dry=True)
    assert not chosen.state_dir.exists()
    _up(chosen, _no_engine)
    started = _running(folder).process
    assert started
    assert lifecycle.down(chosen, _no_engine, dry=True)
    assert process.is_running(started)
    lines = capfd.readouterr().err.splitlines()
    assert [lines[0], lines[-1]] == [f"docker-registry serve {folder.config}", f"kill {started.pid}"]


def _command(folder: Path, script: str) -> str:
    """A folder for PATH with a docker-registry of our own."""
    folder.mkdir()
    command = folder / "docker-registry"
    command.write_text(f"#!/bin/sh\n{script}\n")
    command.chmod(0o755)
    return str(folder)


def test_one_that_ends_at_once(
    chosen: Settings, folder: RegistryFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its last words are told, and where the others are; nothing is left."""
    monkeypatch.setenv("PATH", _command(tmp_path / "bin", "echo; echo no such driver >&2; exit 1"))
    with pytest.raises(LocalRegistryFailed) as caught:
        _up(chosen, _no_engine)
    assert caught.value.fact == "the registry ended at once: no such driver"
    assert caught.value.hint == f"less {folder.log}"
    assert _running(folder).is_ended


def test_a_command_that_cannot_be_started(
    chosen: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operating system's reason is told."""
    monkeypatch.setenv("PATH", _command(tmp_path / "bin", ""))
    (tmp_path / "bin" / "docker-registry").write_bytes(b"\x7fELF, but not quite")
    with pytest.raises(LocalRegistryFailed, match="docker-registry cannot be started: Exec format error"):
        _up(chosen, _no_engine)


def test_ctrl_c_while_it_starts(
    chosen: Settings, folder: RegistryFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line, and nothing of it goes on running."""
    monkeypatch.setenv("PATH", _command(tmp_path / "bin", "echo started; exec /bin/sleep 60"))
    script = (
        "import sys; from cephtasks import settings\n"
        "from cephtasks.local_registry import lifecycle, terms\n"
        "from cephtasks.errors import CephtasksError\n"
        "flags = {'REGISTRY': sys.argv[1], 'STATE_DIR': sys.argv[2]}\n"
        "chosen, agreed = settings.load(flags=flags, environment={}), terms.agreed(sys.argv[1])\n"
        "try: lifecycle.up(chosen, agreed, None)\n"
        "except CephtasksError as error: print(error); sys.exit(error.exit_code)\n"
    )
    command = [sys.executable, "-c", script, chosen.registry, str(chosen.state_dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as user:
        wait_until(lambda: folder.last_words() == "started" and folder.recall() is not None, "the start")
        started = _running(folder).process
        assert started
        user.send_signal(signal.SIGINT)
        told = user.communicate(timeout=20)
    assert told == ("error: the start of the registry was stopped\nhint: invoke registry.up\n", "")
    assert user.returncode == 130
    assert not process.is_running(started)
    assert _running(folder).is_ended


def test_a_state_dir_that_cannot_be_written(tmp_path: Path) -> None:
    """It is told as that."""
    (tmp_path / "state").write_text("a file")
    with pytest.raises(StateUnwritable, match="cannot be written: Not a directory"):
        _up(_settings(tmp_path / "state", f"localhost:{free_port()}"), _no_engine)


@pytest.fixture(scope="module")
def registry_image(engine: Engine) -> Iterator[str]:
    """An image with Debian's docker-registry where the image registry:2 has its own."""
    binary = shutil.which("docker-registry")
    assert binary
    linked = subprocess.run(["ldd", binary], capture_output=True, check=True, text=True).stdout
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", dereference=True) as tar:
        tar.add(binary, "bin/registry")
        for library in re.findall(r"/\S+", linked):
            tar.add(library, library.lstrip("/"))
    name = f"cephtasks-test/registry-{os.getpid()}:2"
    engine.import_tar([content.getvalue()], name)
    yield name
    engine.untag(name)


def test_without_the_command_it_is_a_container(
    chosen: Settings,
    folder: RegistryFolder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    engine: Engine,
    registry_image: str,
) -> None:
    """The same folder, the same port, and safe to repeat too."""
    monkeypatch.setenv("PATH", str(tmp_path))

    def connect() -> Engine:
        return engine

    assert not _up(chosen, connect, image=registry_image).was_up
    assert _up(chosen, connect, image=registry_image).was_up
    name = _running(folder).container
    assert engine.running(name)
    _push_small(chosen.registry, tmp_path / "store")
    assert lifecycle.down(chosen, connect)
    assert not engine.running(name)
    assert not lifecycle.down(chosen, connect)
    _up(chosen, connect, image=registry_image)
    assert _repositories(chosen.registry) == ["team/app"]
    assert {path.stat().st_uid for path in folder.own_data.rglob("*")} == {os.getuid()}
    assert lifecycle.down(chosen, connect)


def test_a_container_gets_certificate_and_logins(
    chosen: Settings,
    folder: RegistryFolder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    engine: Engine,
    registry_image: str,
) -> None:
    """As the command does; its garbage is removed while it is down, and it comes back up."""
    logins = tmp_path / "logins"
    subprocess.run(["htpasswd", "-Bbc", logins, "alice", "word"], check=True, capture_output=True)
    monkeypatch.setenv("PATH", str(tmp_path))
    options: dict[str, Any] = {"tls": True, "htpasswd": str(logins)}
    _up(chosen, lambda: engine, image=registry_image, **options)
    with Client(chosen.registry, folder.ca, credentials=lambda _: ("alice", "word")) as client:
        assert list(catalog(client)) == []
        assert client.base == f"https://{chosen.registry}"
    blob = folder.own_data / "docker/registry/v2/blobs/sha256/ab" / f"ab{0:062x}"
    blob.mkdir(parents=True)
    (blob / "data").write_bytes(b"junk")
    assert lifecycle.collect(chosen, False, lambda: engine, image=registry_image).bytes == 4
    assert not blob.exists()
    assert _up(chosen, lambda: engine, image=registry_image, **options).was_up
    assert lifecycle.down(chosen, lambda: engine)


@pytest.mark.parametrize(
    "connect",
    [Engine.connect, lambda: Engine.connect(host="unix:///no/such/socket")],
    ids=["no image", "no engine"],
)
def test_with_neither_command_nor_image(
    chosen: Settings,
    folder: RegistryFolder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    connect: Callable[[], Engine],
) -> None:
    """The hint installs the command."""
    monkeypatch.setenv("PATH", str(tmp_path))
    image = f"localhost:{free_port()}/registry:2"
    with pytest.raises(LocalRegistryFailed) as caught:
        _up(chosen, connect, image=image)
    assert caught.value.fact.startswith(f"there is no command docker-registry, and no image {image}: ")
    assert caught.value.hint == "apt-get install docker-registry"
    assert folder.recall() is None
