"""Keep rules: how they are typed."""

from datetime import timedelta

import pytest

from cephtasks import keep_rules
from cephtasks.errors import KeepRuleInvalid
from cephtasks.keep_rules import KeepRules


@pytest.mark.parametrize(
    ("text", "age"),
    [
        ("90m", timedelta(minutes=90)),
        ("36h", timedelta(hours=36)),
        ("14d", timedelta(days=14)),
        ("2w", timedelta(weeks=2)),
    ],
)
def test_an_age(text: str, age: timedelta) -> None:
    """A number and a unit."""
    assert keep_rules.duration(text) == age


@pytest.mark.parametrize("text", ["", "14", "d", "14 d", "-1d", "1y", "1.5d", "999999d"])
def test_what_is_no_age(text: str) -> None:
    """It is a mistake of whoever typed it."""
    with pytest.raises(KeepRuleInvalid) as caught:
        keep_rules.duration(text)
    assert (caught.value.fact, caught.value.exit_code) == (f"{text!r} is no age", 2)


@pytest.mark.parametrize("text", ["", "0", "-1", "x", "²"])
def test_what_is_no_number_of_images(text: str) -> None:
    """At least one is kept."""
    with pytest.raises(KeepRuleInvalid):
        keep_rules.count(text)


def test_rules() -> None:
    """What is not typed does not count; names alone would let all others go."""
    assert KeepRules.read("3", ["v*"], "") == KeepRules(3, ("v*",), None)
    assert KeepRules.read("", [], "1d") == KeepRules(0, (), timedelta(days=1))
    with pytest.raises(KeepRuleInvalid, match="not told what to keep"):
        KeepRules.read("", ["v*"], "")
