"""Trust: which certificates count for whom, of real servers that speak TLS."""

import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cephtasks.errors import (
    CephtasksError,
    RegistryCertsInvalid,
    RegistryNotTrusted,
    RegistryUnauthorized,
)
from cephtasks.oci import digest_of
from cephtasks.reference import parse
from cephtasks.registry import Client, catalog, push, ranges
from cephtasks.registry.trust import Certificates as Own
from cephtasks.registry.trust import certificates as own_certificates
from cephtasks.store import Store
from lab.images import packed
from lab.proxies import Proxy, nginx
from lab.registries import Certificates, Registry, certificates, registry
from lab.webs import Answer, Request, answering


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry in the clear, behind the proxies of these tests."""
    with registry(tmp_path_factory.mktemp("registry")) as started:
        yield started


@pytest.fixture(scope="module")
def own_ca(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """A CA that nobody knows."""
    return certificates(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def secure(lab: Registry, own_ca: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A proxy that looks at a client's certificate if there is one."""
    folder = tmp_path_factory.mktemp("secure")
    with nginx(folder, lab.host, tls=own_ca, client_certificates="optional") as proxy:
        yield proxy


@pytest.fixture(scope="module")
def closed(lab: Registry, own_ca: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A proxy that lets in only who has a certificate of the lab's CA."""
    folder = tmp_path_factory.mktemp("closed")
    with nginx(folder, lab.host, tls=own_ca, client_certificates="on") as proxy:
        yield proxy


@pytest.fixture(autouse=True)
def certs_d(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The certs.d of this test's own home."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home" / ".docker" / "certs.d"


def _put(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _failure(client: Client) -> CephtasksError:
    with client, pytest.raises(CephtasksError) as caught:
        _ = client.base
    return caught.value


def test_a_ca_in_certs_d(secure: Proxy, own_ca: Certificates, certs_d: Path) -> None:
    """What the engine trusts of a registry by its folder, we trust, and TLS is what is meant."""
    _put(own_ca.ca, certs_d / secure.host / "lab.crt")
    with Client(secure.host) as client:
        assert client.base == f"https://{secure.host}"
        list(catalog(client))


def test_a_ca_for_another_port(secure: Proxy, own_ca: Certificates, certs_d: Path) -> None:
    """It says nothing about this one; the hint names the place for it."""
    _put(own_ca.ca, certs_d / "localhost:1" / "lab.crt")
    error = _failure(Client(secure.host))
    assert type(error) is RegistryNotTrusted
    assert error.hint == (
        f"REGISTRY_CA=FILE in .env, or the CA's certificate as /etc/docker/certs.d/{secure.host}/ca.crt"
    )


def test_a_ca_of_the_system(
    secure: Proxy, own_ca: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lab that has its CA among the system's needs no settings; a CA of one's own does not replace them."""
    monkeypatch.setenv("SSL_CERT_FILE", str(own_ca.ca))
    other = certificates(tmp_path / "other").ca
    for ca in (None, other):
        with Client(secure.host, ca=ca) as client:
            assert client.base == f"https://{secure.host}"


def test_the_wrong_ca(secure: Proxy, tmp_path: Path) -> None:
    """The hint names the file, and shows what the registry has."""
    other = certificates(tmp_path / "other").ca
    error = _failure(Client(secure.host, ca=other))
    assert type(error) is RegistryNotTrusted
    assert error.hint == (
        f"{other} is of another CA; to see whose: openssl s_client -showcerts -connect {secure.host}"
    )


def test_a_client_certificate(
    closed: Proxy, own_ca: Certificates, certs_d: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """With it a push goes through; `-e` shows a line that does the same."""
    _put(own_ca.certificate, certs_d / closed.host / "client.cert")
    _put(own_ca.key, certs_d / closed.host / "client.key")
    store = Store(tmp_path / "store")
    image = packed(store, "certified", [{"a": b"certified"}])
    target = parse(f"{closed.host}/trust/certified:1")
    with Client(closed.host, ca=own_ca.ca) as client:
        assert push(client, target, image, store.open).digest == image.digest
    assert {verified for *_, verified in closed.requests() if verified != "NONE"} == {"SUCCESS"}
    with Client(closed.host, ca=own_ca.ca, echo=True) as client:
        capfd.readouterr()
        named = list(catalog(client))
    line = capfd.readouterr().err.strip()
    assert f"--key {certs_d / closed.host}/client.key" in line
    done = subprocess.run([*shlex.split(line), "--silent"], capture_output=True, check=True, text=True)
    assert all(name in done.stdout for name in ("trust/certified", *named))


def test_no_client_certificate_where_one_is_wanted(closed: Proxy, own_ca: Certificates) -> None:
    """It is told, and where it belongs."""
    error = _failure(Client(closed.host, ca=own_ca.ca))
    assert type(error) is RegistryUnauthorized
    assert error.fact == f"{closed.host} wants a client certificate"
    place = f"~/.docker/certs.d/{closed.host}/client.cert and client.key"
    assert error.hint == f"put a certificate that it knows at {place}"


def test_a_client_certificate_that_is_not_known(
    closed: Proxy, own_ca: Certificates, certs_d: Path, tmp_path: Path
) -> None:
    """It is as none."""
    stranger = certificates(tmp_path / "stranger")
    _put(stranger.certificate, certs_d / closed.host / "client.cert")
    _put(stranger.key, certs_d / closed.host / "client.key")
    error = _failure(Client(closed.host, ca=own_ca.ca))
    assert (type(error), error.fact) == (RegistryUnauthorized, f"{closed.host} wants a client certificate")


def test_another_host_is_shown_nothing(
    secure: Proxy, lab: Registry, own_ca: Certificates, certs_d: Path, tmp_path: Path
) -> None:
    """Where a registry redirects to, its CA and its client certificate do not hold; that host's own do."""
    storage = secure.host.replace("localhost", "127.0.0.1")
    digest = digest_of(b"kept elsewhere")

    def respond(request: Request) -> Answer:
        if "/blobs/" in request.path:
            return Answer(307, {"Location": f"https://{storage}/v2/"})
        return Answer()

    with answering(respond) as web, nginx(tmp_path / "front", web.host, tls=own_ca) as front:
        for name in (front.host, "localhost"):
            _put(own_ca.certificate, certs_d / name / "client.cert")
            _put(own_ca.key, certs_d / name / "client.key")
        with Client(front.host, ca=own_ca.ca) as client, pytest.raises(RegistryNotTrusted) as caught:
            ranges(client, "a/b", digest)(0, 2)
        assert storage in caught.value.fact
        assert caught.value.hint == f"the CA's certificate as /etc/docker/certs.d/{storage}/ca.crt"
        _put(own_ca.ca, certs_d / storage / "ca.crt")
        before = len(secure.requests())
        with Client(front.host, ca=own_ca.ca) as client:
            assert ranges(client, "a/b", digest)(0, 2) == b"{}"
    assert [verified for *_, verified in secure.requests()[before:]] == ["NONE"]


def test_what_is_read_of_certs_d(own_ca: Certificates, certs_d: Path) -> None:
    """CAs end in .crt, own certificates in .cert, each with a key of the same name; the rest is not ours."""
    folder = certs_d / "lab:5000"
    for name in ("b.crt", "a.crt", "client.cert", "client.key", "notes.txt"):
        _put(own_ca.ca, folder / name)
    pair = (folder / "client.cert", folder / "client.key")
    assert own_certificates("lab:5000") == Own((folder / "a.crt", folder / "b.crt"), (pair,))
    assert own_certificates("lab:5001") == Own()


@pytest.mark.parametrize(
    ("names", "fact"),
    [
        (("client.cert",), "FOLDER/client.cert has no client.key beside it"),
        (("client.key",), "FOLDER/client.key has no client.cert beside it"),
        (("ca.crt",), "FOLDER/ca.crt is no file with CA certificates"),
        (("client.cert", "client.key"), "FOLDER/client.cert with client.key is no certificate with its key"),
    ],
)
def test_what_is_wrong_with_certs_d(certs_d: Path, names: tuple[str, ...], fact: str) -> None:
    """It is a usage error, found before anything is sent."""
    folder = certs_d / "lab:5000"
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).write_text("neither certificate nor key\n")
    with pytest.raises(RegistryCertsInvalid) as caught:
        Client("lab:5000")
    assert caught.value.exit_code == 2
    assert caught.value.fact == fact.replace("FOLDER", str(folder))


def test_a_key_with_a_password(own_ca: Certificates, certs_d: Path) -> None:
    """Nobody is asked for it in the middle of a push: Docker does not either."""
    folder = certs_d / "lab:5000"
    _put(own_ca.certificate, folder / "client.cert")
    locked = ["-aes256", "-passout", "pass:word", "-out", str(folder / "client.key")]
    subprocess.run(["openssl", "ec", "-in", str(own_ca.key), *locked], check=True, capture_output=True)
    with pytest.raises(RegistryCertsInvalid, match=r"client\.key wants a password"):
        Client("lab:5000")
