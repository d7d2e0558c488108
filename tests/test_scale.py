"""The model of large clusters: what holds whatever the numbers, and that docs/scale.md tells what it says."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.scale import drawing
from bench.scale.measuring import Measured
from bench.scale.model import Load, Machines, roll_out

_DOCS = Path(__file__).parents[1] / "docs"
_LAB = Machines(1250e6, 1250e6, 125e6, 0.01)
_LOAD = Load(125_000_000, 2.25)


def test_one_node_takes_what_its_parts_take() -> None:
    """Client, link, unpacking, one after the other; a node is up to a fifth slower or faster than others."""
    found = roll_out(_LAB, 1, 8, _LOAD)
    assert found.egress == 125_000_000
    assert found.seconds == pytest.approx(0.01 + 1.0 + 2.25, rel=0.2)


def test_a_sender_is_shared() -> None:
    """Twenty who fetch at once from a sender of ten links take twice as long as ten."""
    bare, load = Machines(1250e6, 1250e6, 125e6, 0.0), Load(125_000_000, 0.0)
    first = roll_out(bare, 1, 20, load).seconds
    assert roll_out(bare, 11, 20, load).seconds - first == pytest.approx(1.0)
    assert roll_out(bare, 21, 20, load).seconds - first == pytest.approx(2.0)


@given(st.integers(1, 300), st.integers(1, 64), st.integers(1, 10**9))
def test_more_nodes_take_no_less(nodes: int, at_once: int, size: int) -> None:
    """Neither bytes nor time shrink with the cluster, and nobody is quicker than the sender allows."""
    load = Load(size, 1.0)
    fewer, more = roll_out(_LAB, nodes, at_once, load), roll_out(_LAB, nodes + 1, at_once, load)
    assert more.egress == fewer.egress + size
    assert more.seconds >= fewer.seconds - 1e-6
    assert more.seconds >= more.egress / _LAB.registry_rate


@given(st.integers(1, 20), st.integers(2, 40), st.integers(1, 10**9))
def test_mirrors_spare_the_registry(mirrors: int, each: int, size: int) -> None:
    """It sends to each mirror, and no more for more nodes behind it."""
    assert roll_out(_LAB, mirrors * each, 8, Load(size, 1.0), mirrors).egress == 2 * mirrors * size


def test_more_at_once_helps_until_the_sender_is_busy() -> None:
    """With the whole link in use a wider bound changes nothing but the tail."""
    times = [roll_out(_LAB, 200, at_once, _LOAD).seconds for at_once in (1, 8, 64, 200)]
    assert times == sorted(times, reverse=True)
    assert times[0] / times[1] == pytest.approx(7.5, rel=0.1)
    least = 200 * _LOAD.size / _LAB.registry_rate
    assert least < times[-1] < least + 8


def test_the_docs_tell_what_the_model_says() -> None:
    """The table was made from the figures that lie beside it."""
    measured = Measured.read(_DOCS / "scale.json")
    assert drawing.table(measured) in (_DOCS / "scale.md").read_text()
    assert (_DOCS / "scale.svg").read_text().startswith("<?xml")


def test_the_model_says_what_was_measured() -> None:
    """For engines one after the other, which share nothing: bytes to the byte, time to a quarter."""
    measured = Measured.read(_DOCS / "scale.json")
    here = Machines(math.inf, math.inf, math.inf, measured.client_seconds)
    found = roll_out(here, measured.nodes, 1, Load(measured.edit_bytes, measured.edit_seconds))
    assert found.egress == pytest.approx(measured.edits_bytes, rel=0.01)
    assert found.seconds == pytest.approx(measured.edits_seconds, rel=0.25)
