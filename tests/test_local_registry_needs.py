"""Registry needs: each kind of registry with what it asks of others."""

from pathlib import Path

import pytest

from cephtasks.local_registry.needs import exposure, needs
from cephtasks.local_registry.terms import Terms

CA = Path("/state/ca.crt")
LOOPBACK = Terms("localhost:5000", "127.0.0.1", 5000)


def _open(tls: bool = False, htpasswd: str = "", mirror_of: str = "") -> Terms:
    return Terms("lab:5000", "0.0.0.0", 5000, tls, htpasswd, mirror_of)


@pytest.mark.parametrize(
    ("terms", "registry", "lines"),
    [
        (LOOPBACK, "localhost:5000", []),
        (
            _open(tls=True, htpasswd="/logins"),
            "localhost:5000",
            [
                "engines need its CA, /state/ca.crt, as /etc/docker/certs.d/lab:5000/ca.crt",
                "whoever pushes or pulls needs a login: docker login lab:5000",
                "tasks that are to use it need in .env: REGISTRY=lab:5000",
            ],
        ),
        (
            _open(),
            "lab:5000",
            [
                'engines need in /etc/docker/daemon.json: {"insecure-registries": ["lab:5000"]}',
                "tasks that are to use it need in .env: REGISTRY_INSECURE=lab:5000",
            ],
        ),
        (
            _open(mirror_of="docker.io"),
            "lab:5000",
            ['engines need in /etc/docker/daemon.json: {"registry-mirrors": ["http://lab:5000"]}'],
        ),
        (
            _open(tls=True, mirror_of="https://main:5000"),
            "lab:5000",
            [
                "engines need its CA, /state/ca.crt, as /etc/docker/certs.d/lab:5000/ca.crt",
                "nodes pull lab:5000/REPOSITORY in place of main:5000/REPOSITORY",
            ],
        ),
    ],
    ids=["loopback", "open, safe", "open, plain", "mirror of Docker Hub", "mirror of another"],
)
def test_what_is_to_be_done(terms: Terms, registry: str, lines: list[str]) -> None:
    """Nothing more than that."""
    assert list(needs(terms, CA, registry, ())) == lines


def test_what_is_allowed_already_is_not_asked_for() -> None:
    """REGISTRY_INSECURE is set."""
    assert len(list(needs(_open(), CA, "lab:5000", ("lab:5000",)))) == 1


@pytest.mark.parametrize(
    ("terms", "told"),
    [
        (LOOPBACK, ""),
        (_open(tls=True, htpasswd="/logins"), ""),
        (_open(tls=True), "can push, pull and delete images there: --htpasswd FILE"),
        (_open(htpasswd="/logins"), "images and passwords go to lab:5000 unencrypted: --tls"),
        (_open(), "or change them on their way: --tls and --htpasswd FILE"),
    ],
)
def test_what_others_could_do(terms: Terms, told: str) -> None:
    """It is said with what keeps them from it, and only where they can."""
    assert (told in exposure(terms)) if told else exposure(terms) == ""
