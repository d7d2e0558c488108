"""Machine: names and addresses that lead here, and those that do not."""

import ipaddress

import pytest

from cephtasks.local_registry import machine


@pytest.mark.parametrize(
    ("name", "address", "leads"),
    [
        ("localhost", "127.0.0.1", True),
        ("localhost", "0.0.0.0", True),
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.2", "127.0.0.1", False),
        ("198.51.100.7", "0.0.0.0", False),
        ("no-such-host.invalid", "0.0.0.0", False),
        ("::1", "::", True),
    ],
)
def test_a_name_leads_to_whoever_listens_there(name: str, address: str, leads: bool) -> None:
    """For all addresses of this machine, any of its own counts."""
    assert machine.leads_here(name, address) == leads


def test_the_outward_address_is_one_of_ours() -> None:
    """Others reach us by it."""
    assert ipaddress.ip_address(machine.outward())
    assert machine.leads_here(machine.outward(), machine.EVERY)


def test_names_are_named_once() -> None:
    """Whatever name services say."""
    names = machine.names()
    assert names[0] == "localhost"
    assert len(set(names)) == len(names)
