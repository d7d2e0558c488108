"""Build hosts: how BUILD_HOSTS, and what a worker is told, are written."""

from ipaddress import ip_address

import pytest

from cephtasks import build_hosts
from cephtasks.build_hosts import Address, BuildHost
from cephtasks.errors import WorkerArgumentInvalid


def test_port_and_slots_may_be_left_out() -> None:
    """They are then distcc's own; white space and commas separate hosts."""
    assert build_hosts.parse("a, b:4000\tc/8 10.0.0.7:1/2,[fd00::2]:3632/6") == (
        BuildHost("a", 3632, 4),
        BuildHost("b", 4000, 4),
        BuildHost("c", 3632, 8),
        BuildHost("10.0.0.7", 1, 2),
        BuildHost("[fd00::2]", 3632, 6),
    )
    assert build_hosts.parse("") == ()


@pytest.mark.parametrize(
    "word", ["a:", "a/0", "a:0", "a:70000", "a/b", "ssh://a", "@a", "-a", "fd00::2", "a,lzo/"]
)
def test_what_is_no_host_is_refused(word: str) -> None:
    """distcc's options, and its other ways to write a host, are not passed on."""
    with pytest.raises(ValueError, match="has '"):
        build_hosts.parse(word)


def test_a_worker_listens_at_one_address() -> None:
    """By a number, with a port or without."""
    assert build_hosts.address("10.0.0.7") == Address(ip_address("10.0.0.7"), 3632)
    assert build_hosts.address("10.0.0.7:80") == Address(ip_address("10.0.0.7"), 80)
    assert build_hosts.address("fd00::2") == Address(ip_address("fd00::2"), 3632)
    assert build_hosts.address("[fd00::2]:80") == Address(ip_address("fd00::2"), 80)
    assert build_hosts.address("[fd00::2]:80").host == "[fd00::2]"


@pytest.mark.parametrize(
    "text", ["", "host", "10.0.0.7:", "10.0.0.7:0", "10.0.0.7:x", "0.0.0.0", "[::]:3632", "10.0.0"]
)
def test_an_address_that_is_none_or_all_is_refused(text: str) -> None:
    """A worker is never open on every address of its machine."""
    with pytest.raises(WorkerArgumentInvalid) as raised:
        build_hosts.address(text)
    assert raised.value.exit_code == 2
    assert raised.value.hint


def test_who_may_send_jobs_is_an_address_or_a_network() -> None:
    """As distccd reads it."""
    assert build_hosts.network("10.0.0.7") == "10.0.0.7/32"
    assert build_hosts.network("10.0.0.7/24") == "10.0.0.0/24"
    with pytest.raises(WorkerArgumentInvalid, match="lab"):
        build_hosts.network("lab")
