"""Workers: distcc daemons in containers of our builder image, and builds that they compile for."""

import json
import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cephtasks.builder import OUR_BUILDER
from cephtasks.engine import Engine
from lab import ssh
from lab.processes import free_port, wait_until
from lab.terminal import Terminal

_FILES = 12
# Takes half a second to compile.
_CODE = """#include <iostream>
#include <map>
#include <regex>
int f{number}(const std::string& s) {{ std::map<std::string, int> m; return m[s] + {number}; }}
"""


@pytest.fixture(scope="module")
def gateway() -> str:
    """This machine's address in the network of the engine's containers."""
    # Of a bridge that it has just made, the engine does not tell the gateway before it is started again.
    template = '--format={{index .Options "com.docker.network.bridge.name"}}'
    bridge = _said("docker", "network", "inspect", "bridge", template).strip()
    (there,) = json.loads(_said("ip", "-json", "-4", "address", "show", bridge))
    return str(there["addr_info"][0]["local"])


def _said(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def terminal(engine: Engine, tmp_path: Path) -> Terminal:
    """A source of a dozen files, and settings that compile it with our builder."""
    engine.require_image(OUR_BUILDER, "script/bootstrap")
    folder = tmp_path / "ceph"
    folder.mkdir()
    for number in range(_FILES):
        (folder / f"f{number}.cc").write_text(_CODE.format(number=number))
    (folder / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.16)\nproject(many CXX)\nfile(GLOB files *.cc)\n"
        "add_library(many SHARED ${files})\ninstall(TARGETS many)\n"
    )
    made = Terminal(tmp_path)
    configure(made)
    return made


def configure(terminal: Terminal, **more: str) -> None:
    """Write the settings, and some more."""
    terminal.set(
        SOURCE_DIR=terminal.folder / "ceph",
        STATE_DIR=terminal.folder / "state",
        SHA1_OR_REF="",
        CONFIGURE_FLAGS="-DCMAKE_BUILD_TYPE=Debug",
        COMPILER_LAUNCHER="distcc",
        **more,
    )


@contextmanager
def worker(terminal: Terminal, listen: str, *allowed: str, **environment: str) -> Iterator[str]:
    """A worker that `builder.worker` starts and stops; what it prints, for BUILD_HOSTS."""
    words = [f"--listen={listen}", *(f"--allow={each}" for each in allowed)]
    started = terminal.invoke("builder.worker", *words, **environment)
    try:
        assert started.returncode == 0, started.stderr
        yield started.stdout.strip()
    finally:
        stopped = terminal.invoke("builder.worker --stop", f"--listen={listen}", **environment)
        assert stopped.returncode == 0, stopped.stderr
        assert container(listen) not in containers()


def container(listen: str) -> str:
    """The name of the container of a worker."""
    return f"cephtasks-worker-{listen.rpartition(':')[2]}"


def containers() -> list[str]:
    """The names of all containers."""
    listing = ["docker", "ps", "--all", "--format={{.Names}}"]
    return subprocess.run(listing, check=True, capture_output=True, text=True).stdout.split()


def said(listen: str) -> str:
    """The log of a worker."""
    done = subprocess.run(["docker", "logs", container(listen)], check=True, capture_output=True, text=True)
    return done.stderr


def compiled(listen: str) -> set[str]:
    """The files of the source that a worker compiled."""
    return set(re.findall(r"COMPILE_OK .*/(f\d+\.cc)$", said(listen), re.MULTILINE))


def test_two_workers_compile_what_one_machine_links(terminal: Terminal, gateway: str) -> None:
    """Both of them get files, and there are as many jobs as all machines take."""
    places = [f"{gateway}:{free_port()}" for _ in range(2)]
    with (
        worker(terminal, places[0], f"{gateway}/16") as one,
        worker(terminal, places[1], f"{gateway}/16") as other,
    ):
        assert re.fullmatch(rf"{re.escape(places[0])}/[1-9]\d*", one)
        configure(terminal, BUILD_HOSTS=f"{places[0]}/3, {other}")
        done = terminal.invoke("compile")
        assert done.returncode == 0, done.stderr
        first, second = (compiled(place) for place in places)
    assert first
    assert second
    assert not first & second
    here = int(one.rpartition("/")[2])  # of the same engine
    assert f"compiling with {here + 3 + here} jobs" in done.stderr
    assert any((terminal.folder / "ceph/build/install").rglob("libmany.so"))


def test_a_worker_on_a_machine_behind_ssh(terminal: Terminal, gateway: str, tmp_path: Path) -> None:
    """It is started and ended there, and compiles what is sent from here."""
    place = f"{gateway}:{free_port()}"
    (tmp_path / "sshd").mkdir()
    with (
        ssh.host(tmp_path / "sshd") as far,
        worker(terminal, place, f"{gateway}/16", DOCKER_HOST=far.url, PATH=far.path) as printed,
    ):
        configure(terminal, BUILD_HOSTS=printed)
        assert terminal.invoke("compile").returncode == 0
        assert compiled(place)


def test_a_worker_that_dies_in_the_middle_costs_no_build(terminal: Terminal, gateway: str) -> None:
    """What it had is compiled here, as is what it would have got."""
    place = f"{gateway}:{free_port()}"
    with worker(terminal, place, f"{gateway}/16"):
        configure(terminal, BUILD_HOSTS=f"{place}/8")
        with (terminal.folder / "output").open("wb") as output:
            building = subprocess.Popen(
                terminal.command("compile"), env=terminal.environment(), stdout=output, stderr=output
            )
        try:
            wait_until(lambda: bool(compiled(place)), "the first file")
            subprocess.run(["docker", "kill", container(place)], check=True, capture_output=True)
            assert building.wait(120) == 0, (terminal.folder / "output").read_text()
        finally:
            building.kill()
            building.wait()
        assert len(compiled(place)) < _FILES
    assert any((terminal.folder / "ceph/build/install").rglob("libmany.so"))


def test_a_worker_takes_jobs_of_whom_it_is_told_to(terminal: Terminal, gateway: str) -> None:
    """Others get no answer, and what they wanted is not run."""
    place = f"{gateway}:{free_port()}"
    with worker(terminal, place, "192.0.2.55"):
        host, _, port = place.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=30) as stranger:
            assert stranger.recv(1) == b""
        wait_until(lambda: "denied by access list" in said(place), "the refusal")


def test_a_worker_is_not_open_by_default(terminal: Terminal, gateway: str) -> None:
    """Beyond loopback it must be said who may send jobs; nothing was started."""
    listen = f"{gateway}:{free_port()}"
    done = terminal.invoke("builder.worker", f"--listen={listen}")
    assert (done.returncode, done.stdout) == (2, "")
    assert "hint: --allow" in done.stderr
    assert container(listen) not in containers()


def test_an_image_without_distcc_is_told(terminal: Terminal, tiny: str) -> None:
    """Before anything is started."""
    listen = f"127.0.0.1:{free_port()}"
    done = terminal.invoke("builder.worker", f"--listen={listen}", f"--builder-image={tiny}")
    assert (done.returncode, done.stdout) == (1, "")
    assert f"error: {tiny} has no distccd, which a worker needs" in done.stderr
    assert container(listen) not in containers()


def test_a_port_that_is_taken_is_told(terminal: Terminal) -> None:
    """What distccd said of it is the error, and no container is left."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        done = terminal.invoke("builder.worker", f"--listen={listen}")
    assert (done.returncode, done.stdout) == (1, "")
    assert "already in use" in done.stderr
    assert container(listen) not in containers()


@pytest.mark.parametrize("wrong", [{"COMPILER_LAUNCHER": "none"}, {"BUILD_NETWORK": "none"}])
def test_hosts_that_could_not_be_used_are_refused(terminal: Terminal, wrong: dict[str, str]) -> None:
    """BUILD_HOSTS without distcc, or without a network, is a contradiction in the settings."""
    done = terminal.invoke("compile", **{"BUILD_HOSTS": "127.0.0.1", "COMPILER_LAUNCHER": "distcc", **wrong})
    assert (done.returncode, done.stdout) == (2, "")
    assert "BUILD_HOSTS is set, and" in done.stderr
    assert not (terminal.folder / "state").exists()
