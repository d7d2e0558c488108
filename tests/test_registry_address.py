"""Addresses: by which URLs a registry is reached, and what of a URL may be trusted."""

import pytest

from cephtasks.registry.address import absolute, base_urls, is_loopback, is_same_origin, with_query


@pytest.mark.parametrize("host", ["localhost", "localhost:5000", "127.0.0.1:5000", "127.1.2.3", "[::1]:5000"])
def test_loopback(host: str) -> None:
    """This machine by its own names."""
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["registry:5000", "localhost.example.com", "0.0.0.0:5000", "10.0.0.1", "[::2]", "", "[:5000"]
)
def test_not_loopback(host: str) -> None:
    """Everything else, what is no host included."""
    assert not is_loopback(host)


def test_only_https_unless_told_otherwise() -> None:
    """A registry out there is never spoken to in the clear by itself."""
    assert base_urls("reg.example:5000", (), own_certificates=False) == ("https://reg.example:5000",)


@pytest.mark.parametrize("insecure", ["reg.example:5000", "reg.example"])
def test_https_first_where_plain_http_is_allowed(insecure: str) -> None:
    """REGISTRY_INSECURE names a host with or without its port."""
    urls = ("https://reg.example:5000", "http://reg.example:5000")
    assert base_urls("reg.example:5000", (insecure,), own_certificates=False) == urls


def test_another_port_is_another_host() -> None:
    """Naming host:port allows plain HTTP for that port alone."""
    assert base_urls("reg.example:5001", ("reg.example:5000",), own_certificates=False) == (
        "https://reg.example:5001",
    )


def test_plain_http_first_on_loopback() -> None:
    """Unless there is a CA of one's own, which says that TLS is meant."""
    plain, secure = "http://localhost:5000", "https://localhost:5000"
    assert base_urls("localhost:5000", (), own_certificates=False) == (plain, secure)
    assert base_urls("localhost:5000", (), own_certificates=True) == (secure, plain)


def test_docker_hub_is_reached_at_its_registry() -> None:
    """The name in references is not the name of its host."""
    assert base_urls("docker.io", (), own_certificates=False) == ("https://registry-1.docker.io",)


@pytest.mark.parametrize(
    ("url", "same"),
    [
        ("https://reg.example/v2/", True),
        ("https://reg.example:443/v2/", True),
        ("https://REG.example/v2/", True),
        ("http://reg.example/v2/", False),
        ("https://reg.example:5000/", False),
        ("https://reg.example.evil.example/", False),
        ("https://reg.example@evil.example/", False),
        ("https://storage.example/reg.example", False),
    ],
)
def test_who_gets_a_login(url: str, same: bool) -> None:
    """Only scheme, host and port together make one origin."""
    assert is_same_origin(url, "https://reg.example") is same


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("/v2/a/blobs/uploads/1?_state=x", "https://reg.example/v2/a/blobs/uploads/1?_state=x"),
        ("https://storage.example/1?sig=x", "https://storage.example/1?sig=x"),
        ("http://reg.example/v2/1", "https://reg.example/v2/1"),
        ("http://storage.example/1", "http://storage.example/1"),
    ],
)
def test_a_location_made_absolute(location: str, url: str) -> None:
    """A registry behind a proxy that ends TLS names itself by plain HTTP; others are as they are."""
    assert absolute(location, "https://reg.example") == url


@pytest.mark.parametrize(
    ("url", "longer"),
    [
        ("https://reg.example/1", "https://reg.example/1?digest=sha256:ab"),
        ("https://reg.example/1?_state=x%3D", "https://reg.example/1?_state=x%3D&digest=sha256:ab"),
    ],
)
def test_a_query_is_added_to(url: str, longer: str) -> None:
    """What is there stays byte for byte, since it may be signed."""
    assert with_query(url, digest="sha256:ab") == longer
