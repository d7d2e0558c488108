"""Registry terms: what REGISTRY and the options of registry.up come to."""

from pathlib import Path

import pytest

from cephtasks.errors import HtpasswdInvalid, ListenInvalid, MirrorInvalid, RegistryNotLocal, UsageError
from cephtasks.local_registry import machine
from cephtasks.local_registry.terms import Terms, agreed, htpasswd_file, listen_address, upstream

BCRYPT = "alice:$2y$05$" + "a" * 53


def test_without_options_it_is_on_loopback() -> None:
    """At REGISTRY, by plain HTTP."""
    terms = agreed("localhost:5000")
    assert terms == Terms("localhost:5000", "127.0.0.1", 5000)
    assert (terms.is_open, terms.url, terms.command) == (False, "http://localhost:5000", "invoke registry.up")


@pytest.mark.parametrize(
    ("registry", "listen", "host", "listens"),
    [
        ("localhost:5000", "127.0.0.1:5001", "127.0.0.1:5001", "127.0.0.1:5001"),
        ("localhost:5000", "0.0.0.0", f"{machine.outward()}:5000", "0.0.0.0:5000"),
        ("localhost:5000", "0.0.0.0:5002", f"{machine.outward()}:5002", "0.0.0.0:5002"),
        (f"{machine.outward()}:5000", "0.0.0.0", f"{machine.outward()}:5000", "0.0.0.0:5000"),
        ("registry.invalid:5000", "0.0.0.0", f"{machine.outward()}:5000", "0.0.0.0:5000"),
        ("localhost:5000", "198.51.100.7", "198.51.100.7:5000", "198.51.100.7:5000"),
        ("[::1]:5000", "::1", "[::1]:5000", "[::1]:5000"),
        ("localhost:5000", "[::1]:5001", "[::1]:5001", "[::1]:5001"),
    ],
)
def test_where_it_listens_and_what_it_is_called(registry: str, listen: str, host: str, listens: str) -> None:
    """REGISTRY, where everybody who may reaches it by that; else its address."""
    terms = agreed(registry, listen)
    assert (terms.host, terms.listens) == (host, listens)


def test_a_registry_without_a_port_has_that_of_its_scheme() -> None:
    """As engines have it."""
    assert agreed("localhost").port == 80
    assert agreed("localhost", tls=True).port == 443


@pytest.mark.parametrize("text", ["", "host", "1.2.3", "1.2.3.4:99999", "1.2.3.4:x", "[::1", "1.2.3.4/24"])
def test_what_is_no_address_is_told(text: str) -> None:
    """As a usage error, with an example."""
    with pytest.raises(ListenInvalid) as caught:
        listen_address(text)
    assert caught.value.fact == f"--listen={text} is not ADDRESS or ADDRESS:PORT"


@pytest.mark.parametrize(
    ("text", "address"),
    [("::", ("::", 0)), ("[::]:5000", ("::", 5000)), ("10.0.0.1", ("10.0.0.1", 0)), ("::1", ("::1", 0))],
)
def test_an_address_with_or_without_a_port(text: str, address: tuple[str, int]) -> None:
    """Of either family."""
    assert listen_address(text) == address


def test_an_address_of_this_machine_needs_listen() -> None:
    """Nobody lets others in by REGISTRY alone."""
    with pytest.raises(RegistryNotLocal) as caught:
        agreed(f"{machine.outward()}:5000")
    assert "--listen" in caught.value.hint


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "cannot be read: no such file or directory"),
        ("", "has no login"),
        ("# nobody\n\n", "has no login"),
        ("alice:$apr1$x$y\n", "is not USER:HASH"),
        (f"{BCRYPT}\nbob:plain words\n", "is not USER:HASH"),
    ],
)
def test_a_file_of_logins_that_registries_cannot_read(tmp_path: Path, content: str | None, told: str) -> None:
    """It is found before anything starts, and quoted nowhere."""
    path = tmp_path / "logins"
    if content is not None:
        path.write_text(content)
    with pytest.raises(HtpasswdInvalid, match=told) as caught:
        htpasswd_file(str(path))
    assert "plain words" not in str(caught.value)
    assert "htpasswd -B" in caught.value.hint


def test_a_file_of_logins(tmp_path: Path) -> None:
    """With bcrypt, and remarks."""
    (tmp_path / "logins").write_text(f"# the lab\n{BCRYPT}\n")
    terms = agreed("localhost:5000", htpasswd=str(tmp_path / "logins"), tls=True, listen="0.0.0.0")
    listens = "--listen=0.0.0.0:5000"
    assert terms.command == f"invoke registry.up --tls --htpasswd={tmp_path}/logins {listens}"


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("docker.io", ("", "docker.io")),
        ("https://lab:5000/", ("https", "lab:5000")),
        ("http://10.0.0.1:5000", ("http", "10.0.0.1:5000")),
    ],
)
def test_what_is_mirrored(text: str, read: tuple[str, str]) -> None:
    """As host or URL."""
    assert upstream(text) == read


@pytest.mark.parametrize("text", ["ftp://lab", "lab:5000/ceph", "", "://lab", "https://user:word@lab"])
def test_what_cannot_be_mirrored(text: str) -> None:
    """Is told as that."""
    with pytest.raises(MirrorInvalid):
        upstream(text)


@pytest.mark.parametrize("host", ["localhost:5000", "127.0.0.1:5000", "http://localhost:5000"])
def test_none_mirrors_itself(host: str) -> None:
    """By whatever name."""
    with pytest.raises(MirrorInvalid, match="is the registry that is to mirror it"):
        agreed("localhost:5000", mirror_of=host)


def test_the_ca_of_what_is_mirrored_is_of_no_other_use(tmp_path: Path) -> None:
    """REGISTRY_CA counts where a registry is mirrored."""
    assert agreed("localhost:5000", ca=tmp_path).upstream_ca == ""
    assert agreed("localhost:5000", mirror_of="lab:5000", ca=tmp_path).upstream_ca == str(tmp_path)


def test_all_of_these_are_found_before_anything_starts() -> None:
    """They end with 2."""
    for error in (RegistryNotLocal, ListenInvalid, HtpasswdInvalid, MirrorInvalid):
        assert issubclass(error, UsageError)
