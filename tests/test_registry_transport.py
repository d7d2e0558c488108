"""Transport: how a registry is found, by TLS or without, and what is told when it is not."""

import contextlib
import shlex
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from cephtasks.errors import (
    CephtasksError,
    NotARegistry,
    RegistryCaInvalid,
    RegistryNotTrusted,
    RegistryRefused,
    RegistryUnauthorized,
    RegistryUnreachable,
    RegistryWithoutTls,
)
from cephtasks.registry import Client, catalog
from lab.processes import free_port
from lab.registries import Certificates, Registry, certificates, registry
from lab.webs import Answer, Cut, Deed, answering


@pytest.fixture(scope="module")
def own_ca(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """A CA that nobody knows."""
    return certificates(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def secure(own_ca: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry that speaks TLS, at every address of this machine."""
    folder = tmp_path_factory.mktemp("secure")
    with registry(folder, tls=own_ca, address="0.0.0.0") as started:
        yield started


def _base(client: Client) -> str:
    with client:
        return client.base


def _failure(client: Client) -> CephtasksError:
    with client, pytest.raises(CephtasksError) as caught:
        _ = client.base
    return caught.value


def _anywhere(host: str) -> str:
    """The same registry by an address that is not loopback's."""
    return host.replace("localhost", "0.0.0.0")


def test_plain_http_on_loopback(registry: str) -> None:
    """A registry on this machine needs no settings."""
    assert _base(Client(registry)) == f"http://{registry}"


def test_tls_of_an_own_ca(secure: Registry, own_ca: Certificates) -> None:
    """REGISTRY_CA makes it trusted, on loopback and elsewhere."""
    for host in (secure.host, _anywhere(secure.host)):
        assert _base(Client(host, ca=own_ca.ca)) == f"https://{host}"


@pytest.mark.parametrize("insecure", [False, True])
def test_an_unknown_ca(secure: Registry, insecure: bool) -> None:
    """It is told rather than worked around, on loopback too, and where plain HTTP is allowed."""
    for host in (secure.host, _anywhere(secure.host)):
        error = _failure(Client(host, insecure=(host,) if insecure else ()))
        assert type(error) is RegistryNotTrusted
        assert error.fact.startswith(f"the certificate of {host} cannot be verified: ")
        assert error.hint.startswith("REGISTRY_CA=FILE in .env")


def test_a_certificate_for_another_name(secure: Registry, own_ca: Certificates) -> None:
    """The hint shows whose certificate it is."""
    host = secure.host.replace("localhost", "127.0.0.2")
    error = _failure(Client(host, ca=own_ca.ca))
    assert type(error) is RegistryNotTrusted
    assert "not valid for '127.0.0.2'" in error.fact
    assert error.hint == f"openssl s_client -connect {host} -showcerts"


def test_no_tls_where_it_is_due(registry: str) -> None:
    """Plain HTTP out there is used only where REGISTRY_INSECURE names the host, as the hint says."""
    host = _anywhere(registry)
    error = _failure(Client(host))
    assert type(error) is RegistryWithoutTls
    assert error.fact == f"{host} speaks no TLS"
    assert error.hint == f"REGISTRY_INSECURE={host} in .env, if plain HTTP is meant"
    assert _base(Client(host, insecure=(host,))) == f"http://{host}"


@pytest.mark.parametrize("content", [None, "no certificate\n"])
def test_a_ca_file_without_certificates(content: str | None, tmp_path: Path) -> None:
    """It is a usage error, found before anything is sent."""
    path = tmp_path / "ca.crt"
    if content is not None:
        path.write_text(content)
    with pytest.raises(RegistryCaInvalid) as caught:
        Client("localhost:5000", ca=path)
    assert caught.value.exit_code == 2
    assert caught.value.fact == f"REGISTRY_CA={path} is no file with CA certificates"


def test_nothing_listens() -> None:
    """On this machine the hint starts a registry, elsewhere it looks."""
    host = f"localhost:{free_port()}"
    error = _failure(Client(host))
    assert type(error) is RegistryUnreachable
    assert (error.fact, error.hint) == (f"nothing listens at {host}", "invoke registry.up")
    error = _failure(Client(_anywhere(host)))
    assert error.hint == f"curl --include https://{_anywhere(host)}/v2/"


def test_no_such_host() -> None:
    """The name is told without the port."""
    error = _failure(Client("registry.invalid:5000"))
    assert type(error) is RegistryUnreachable
    assert error.fact == "no host is known as registry.invalid"
    assert error.hint == "getent hosts registry.invalid, or another REGISTRY in .env"


def test_what_is_no_host() -> None:
    """A label of more than 63 letters passes the grammar of references, and no resolver."""
    host = f"{'a' * 64}.example"
    error = _failure(Client(host))
    assert (type(error), error.fact) == (NotARegistry, f"https://{host}/v2/ is no address that can be asked")


def test_a_proxy_that_is_down(monkeypatch: pytest.MonkeyPatch, registry: str) -> None:
    """It is told that the proxy is to blame; registries of this machine need none."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, f"http://localhost:{free_port()}")
    error = _failure(Client("registry.invalid"))
    assert error.fact == "the proxy does not reach registry.invalid"
    assert _base(Client(registry)) == f"http://{registry}"


@contextmanager
def _listening(greeting: bytes) -> Iterator[str]:
    """A server that sends some bytes to who connects, and closes the connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65536)
                    connection.sendall(greeting)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"localhost:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


@contextmanager
def _breaking_tls(own_ca: Certificates, wants_certificate: bool) -> Iterator[str]:
    """A server that wants a client's certificate in its greeting, or breaks the connection after it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own_ca.certificate, own_ca.key)
    context.load_verify_locations(own_ca.ca)
    context.verify_mode = ssl.CERT_REQUIRED if wants_certificate else ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # 1.3 tells of a missing certificate after the greeting
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with (
                    connection,
                    contextlib.suppress(ssl.SSLError),
                    context.wrap_socket(connection, server_side=True) as secured,
                ):
                    secured.recv(65536)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"localhost:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.mark.parametrize(
    ("wants_certificate", "start", "end"),
    [
        (True, "no TLS connection to HOST: ", "alert handshake failure"),
        (False, "HOST closed the connection", "without an answer"),
    ],
)
def test_tls_that_goes_wrong(own_ca: Certificates, wants_certificate: bool, start: str, end: str) -> None:
    """It is not taken for a server without TLS."""
    with _breaking_tls(own_ca, wants_certificate) as host:
        error = _failure(Client(host, ca=own_ca.ca))
        assert type(error) is RegistryUnreachable
        assert error.fact.startswith(start.replace("HOST", host))
        assert error.fact.endswith(end)


@pytest.mark.parametrize(
    ("greeting", "fact"),
    [
        (b"", "HOST closed the connection without an answer"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "HOST speaks no HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{", "HOST broke off its answer"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz", "HOST broke off its answer"),
    ],
)
def test_a_server_that_speaks_otherwise(greeting: bytes, fact: str) -> None:
    """One line, whatever it is."""
    with _listening(greeting) as host:
        error = _failure(Client(host))
        assert type(error) is RegistryUnreachable
        assert error.fact == fact.replace("HOST", host)
        assert error.hint == f"curl --include http://{host}/v2/"


_ERRORS = b'{"errors":[{"code":"UNAVAILABLE","message":"service\\nunavailable"}]}'


@pytest.mark.parametrize(
    ("answer", "kind", "fact"),
    [
        (
            Answer(200, {"Content-Type": "text/html"}, b"<html>Welcome</html>"),
            NotARegistry,
            "HOST does not answer as a registry: it sends a web page",
        ),
        (
            Answer(200, {}, b"\n<!doctype html>"),
            NotARegistry,
            "HOST does not answer as a registry: it sends a web page",
        ),
        (Answer(404), NotARegistry, "HOST does not answer as a registry: HTTP 404 for /v2/"),
        (
            Answer(301, {"Location": "https://elsewhere.invalid/"}),
            NotARegistry,
            "HOST does not answer as a registry: it redirects to another address",
        ),
        (
            Answer(403, {"Content-Type": "text/html"}, b"<html>"),
            RegistryUnauthorized,
            "HOST allows no access to /v2/: HTTP 403 Forbidden, with a web page",
        ),
        (
            Answer(502, {"Content-Type": "text/html"}, b"<html>"),
            RegistryRefused,
            "HOST refuses /v2/: HTTP 502 Bad Gateway, with a web page",
        ),
        (Answer(503, {}, _ERRORS), RegistryRefused, "HOST refuses /v2/: UNAVAILABLE: service unavailable"),
        (Cut(), RegistryUnreachable, "HOST closed the connection without an answer"),
    ],
)
def test_what_answers_in_the_place_of_a_registry(answer: Deed, kind: type[CephtasksError], fact: str) -> None:
    """One line that tells what it is, at once."""
    with answering(lambda request: answer) as web:
        error = _failure(Client(web.host))
    assert (type(error), error.fact) == (kind, fact.replace("HOST", web.host))
    assert error.hint
    assert "\n" not in error.fact + error.hint


@pytest.mark.parametrize(
    "words",
    [
        b"Client sent an HTTP request to an HTTPS server.\n",
        b"<html>The plain HTTP request was sent to HTTPS port",
    ],
)
def test_a_port_for_tls_alone(words: bytes) -> None:
    """What it says to plain HTTP does not hide what came of TLS, and is no registry's answer."""
    with answering(lambda request: Answer(400, body=words)) as web:
        error = _failure(Client(web.host))
        assert (type(error), error.fact) == (RegistryUnreachable, f"{web.host} speaks only TLS")


def test_a_redirect_is_not_followed() -> None:
    """Nobody else is asked in the registry's name."""
    with answering(lambda request: Answer()) as other:
        moved = Answer(307, {"Location": f"http://{other.host}/v2/"})
        with answering(lambda request: moved) as web:
            _failure(Client(web.host))
    assert other.seen == []


def test_the_way_is_found_once() -> None:
    """However many threads ask."""
    with answering(lambda request: Answer()) as web, Client(web.host) as client:
        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(lambda _: client.base, range(16))) == {f"http://{web.host}"}
        assert len(web.seen) == 1


def test_a_connection_is_kept() -> None:
    """Requests one after another need one connection."""
    with answering(lambda request: Answer()) as web:
        with Client(web.host) as client:
            for _ in range(3):
                client.send("GET", "/v2/", "it")
        assert len(web.seen) == 4
        assert len({request.client_port for request in web.seen}) == 1


def test_an_echoed_line_does_the_same(
    secure: Registry, own_ca: Certificates, capfd: pytest.CaptureFixture[str]
) -> None:
    """What `-e` shows can be typed, with the CA where one is needed."""
    with Client(secure.host, ca=own_ca.ca, echo=True) as client:
        assert list(catalog(client)) == []
    line = capfd.readouterr().err.strip()
    done = subprocess.run(shlex.split(f"{line} --silent"), capture_output=True, check=True, text=True)
    assert done.stdout == '{"repositories":[]}\n'


def test_a_signed_address_is_echoed_without_its_signature(
    registry: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Whoever has such an address may write there."""
    with Client(registry, echo=True) as client:
        client.show("PUT", "https://storage.example/blob?signature=secret", body_name="layer.tar")
    shown = capfd.readouterr().err
    assert shown == "curl --request PUT --upload-file=layer.tar https://storage.example/blob\n"


def test_an_address_that_cannot_be_read(registry: str) -> None:
    """A registry may send anything as a Location."""
    with Client(registry) as client, pytest.raises(NotARegistry, match="an address that cannot be read"):
        client.send("PUT", "http://[broken/", "blob")
