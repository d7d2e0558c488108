"""Connections to engines, real ones and those that do not answer as they should."""

import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cephtasks.engine import Engine, RunSpec, connection
from cephtasks.errors import CephtasksError, DockerHostInvalid, EngineRefused, EngineUnreachable
from lab import ssh
from lab.processes import free_port
from lab.users import as_nobody

_SOCKET = "unix:///var/run/docker.sock"


@pytest.fixture(autouse=True)
def no_settings_of_docker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Only what a test sets says where the engine is."""
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))


def refusal(host: str = "") -> CephtasksError:
    """How connecting fails; it must be one line and a hint."""
    with pytest.raises(CephtasksError) as caught:
        Engine.connect(host=host)
    assert "\n" not in caught.value.fact
    assert caught.value.hint
    return caught.value


@contextmanager
def answering(path: Path, answer: bytes | None) -> Iterator[str]:
    """A socket whose server gives the same answer to every request; None is silence."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        listener.settimeout(0.05)
        over = threading.Event()

        def serve() -> None:
            while not over.is_set():
                try:
                    connection, _ = listener.accept()
                except TimeoutError:
                    continue
                with connection:
                    if not connection.recv(1 << 16):
                        continue
                    if answer is None:
                        over.wait()
                    else:
                        connection.sendall(answer)

        server = threading.Thread(target=serve)
        server.start()
        try:
            yield f"unix://{path}"
        finally:
            over.set()
            server.join()


def http(status: str, kind: str, body: bytes) -> bytes:
    """An HTTP answer."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"Connection: close\r\n\r\n" + body


def test_without_docker_host_the_engine_of_this_machine_is_taken(tiny: str) -> None:
    """Nothing needs to be set on a machine with an engine."""
    engine = Engine.connect()
    assert engine.image(tiny) is not None
    engine.close()


def test_docker_host_names_the_engine(monkeypatch: pytest.MonkeyPatch, tiny: str) -> None:
    """DOCKER_HOST is read as the docker command reads it."""
    monkeypatch.setenv("DOCKER_HOST", _SOCKET)
    engine = Engine.connect()
    assert engine.image(tiny) is not None
    engine.close()


def test_dockers_context_names_the_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without DOCKER_HOST, the context that `docker context use` chose counts, as for the docker command."""
    where = f"host=unix://{tmp_path}/elsewhere"
    subprocess.run(
        ["docker", "context", "create", "lab", f"--docker={where}"], check=True, capture_output=True
    )
    subprocess.run(["docker", "context", "use", "lab"], check=True, capture_output=True)
    assert f"unix://{tmp_path}/elsewhere" in refusal().fact


def test_an_unknown_context_is_a_wrong_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A context that does not exist is not silently replaced by this machine's engine."""
    monkeypatch.setenv("DOCKER_CONTEXT", "nowhere")
    assert isinstance(refusal(), DockerHostInvalid)


@pytest.mark.parametrize(
    "address", ["tcp://", "tcp://127.0.0.1", "gopher://host:1", "tcp://host:port", "ssh://"]
)
def test_what_is_no_address_is_a_wrong_setting(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """A DOCKER_HOST that cannot be an address ends with exit code 2."""
    monkeypatch.setenv("DOCKER_HOST", address)
    error = refusal()
    assert isinstance(error, DockerHostInvalid)
    assert error.exit_code == 2
    assert address in error.fact


def test_a_socket_that_is_missing_is_no_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where there is no engine, its address and the reason are told, and how to start one of this machine."""
    address = f"unix://{tmp_path}/none.sock"
    monkeypatch.setenv("DOCKER_HOST", address)
    error = refusal()
    assert isinstance(error, EngineUnreachable)
    assert error.fact == f"no Docker engine answers at {address}: No such file or directory"
    assert "script/bootstrap" in error.hint
    assert refusal(address).hint == f"docker --host {address} version"


def test_a_socket_that_an_engine_left_behind_is_no_engine(tmp_path: Path) -> None:
    """The socket file of an engine that ended does not deceive."""
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(f"{tmp_path}/dead.sock")
    assert refusal(f"unix://{tmp_path}/dead.sock").fact.endswith("dead.sock: Connection refused")


def test_a_port_where_nothing_listens_is_no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine over TCP that is down is told with the line that looks at it."""
    address = f"tcp://127.0.0.1:{free_port()}"
    monkeypatch.setenv("DOCKER_HOST", address)
    error = refusal()
    assert isinstance(error, EngineUnreachable)
    assert error.fact == f"no Docker engine answers at {address}: Connection refused"
    assert f"docker --host {address} version" in error.hint


def test_a_host_that_nobody_knows_is_no_engine() -> None:
    """A misspelt host name is told as such."""
    assert (
        "no Docker engine answers at tcp://nowhere.invalid:2375: "
        in refusal("tcp://nowhere.invalid:2375").fact
    )


def test_who_may_not_use_the_socket_is_told_how_to_be_allowed() -> None:
    """No permission is something else than no engine: the group docker, or sudo, mends it."""
    with as_nobody():
        error = refusal()
    assert isinstance(error, EngineUnreachable)
    assert error.fact == f"you are not allowed to use the Docker engine at {_SOCKET}"
    assert "usermod -aG docker" in error.hint
    assert "sudo" in error.hint


def test_an_engine_that_refuses_is_quoted(tmp_path: Path) -> None:
    """An authorization plugin's words reach the user."""
    answer = http("403 Forbidden", "application/json", b'{"message":"authorization denied by plugin"}')
    with answering(tmp_path / "sock", answer) as address:
        error = refusal(address)
    assert isinstance(error, EngineRefused)
    assert error.fact == f"the Docker engine at {address} refuses: authorization denied by plugin"


@pytest.mark.parametrize("answer", [http("200 OK", "text/html", b"<html>hello</html>"), b"", b"220 mail\r\n"])
def test_what_speaks_something_else_is_no_engine(tmp_path: Path, answer: bytes) -> None:
    """A web server, a mail server, or one that hangs up: still one line."""
    with answering(tmp_path / "sock", answer) as address:
        error = refusal(address)
    assert isinstance(error, EngineUnreachable)


def test_an_engine_that_does_not_answer_is_given_up_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hung engine costs as long as we are patient, not a coffee."""
    monkeypatch.setattr(connection, "_PATIENCE", 1)
    with answering(tmp_path / "sock", None) as address:
        assert refusal(address).fact == f"no Docker engine answers at {address}: no answer in time"


def test_an_ssh_host_that_is_down_is_no_engine() -> None:
    """What ssh says is in the one line, and the hint is the ssh line to try."""
    port = free_port()
    error = refusal(f"ssh://someone@127.0.0.1:{port}")
    assert isinstance(error, EngineUnreachable)
    assert error.fact.startswith(f"no Docker engine is reached at ssh://someone@127.0.0.1:{port}: ")
    assert "Connection refused" in error.fact
    assert error.hint == f"ssh -p {port} someone@127.0.0.1 docker version"


@pytest.fixture
def ssh_host(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """An sshd of the test's own, with a line of the test's own, and an ssh that it lets in."""
    with ssh.host(tmp_path, getattr(request, "param", "")) as host:
        monkeypatch.setenv("PATH", host.path)
        yield host.url


@pytest.mark.parametrize(("length", "is_used"), [(40, True), (77, True), (78, False), (200, False)])
def test_an_engine_behind_ssh_runs_containers(
    ssh_host: str, tiny: str, length: int, is_used: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A remote engine does all that the local one does, output live, and ssh ends with the connection.

    So it is however long the path of the folder for temporary files is, which may leave a socket no room.
    """
    said = bytearray()
    with tempfile.TemporaryDirectory() as short:
        folder = Path(short, "x" * (length - len(short) - 1))
        folder.mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(folder))
        engine = Engine.connect(host=ssh_host)
        try:
            assert engine.run(RunSpec(tiny, ("there",), ("echo",)), said.extend, said.extend).exit_code == 0
            assert bool(list(folder.iterdir())) == is_used
        finally:
            engine.close()
        assert bytes(said) == b"there\n"
        assert not list(folder.iterdir())


@pytest.mark.parametrize("ssh_host", ["AllowStreamLocalForwarding no"], indirect=True)
def test_an_ssh_host_without_an_engine_is_no_engine(ssh_host: str) -> None:
    """ssh works, but no engine is behind it: told with the address that was typed."""
    assert refusal(ssh_host).fact.startswith(f"no Docker engine answers at {ssh_host}: ")


def test_an_ssh_host_that_does_not_let_us_in_is_no_engine(ssh_host: str, tmp_path: Path) -> None:
    """Nothing asks for a password in the middle of a task."""
    (tmp_path / "user.pub").write_text("")
    assert "Permission denied" in refusal(ssh_host).fact
