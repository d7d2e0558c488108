"""Challenges: what registries send, and whatever else may come, read by RFC 9110."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cephtasks.registry.challenge import Challenge, read_challenges

_WORDS = st.text("abcdefghijklmnopqrstuvwxyzABC0123456789-_.", min_size=1, max_size=12)
_VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40)
_PARAMETERS = st.dictionaries(_WORDS.map(str.lower), _VALUES, max_size=4)


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _written(challenge: Challenge) -> str:
    told = ",".join(f"{name}={_quoted(value)}" for name, value in challenge.parameters.items())
    return f"{challenge.scheme} {told}".strip()


@pytest.mark.parametrize(
    ("header", "challenges"),
    [
        ("", ()),
        ("Basic", (Challenge("basic"),)),
        ('Basic realm="lab"', (Challenge("basic", {"realm": "lab"}),)),
        ("basic REALM=lab", (Challenge("basic", {"realm": "lab"}),)),
        (
            'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull"',
            (
                Challenge(
                    "bearer",
                    {
                        "realm": "https://auth.docker.io/token",
                        "service": "registry.docker.io",
                        "scope": "repository:a/b:pull",
                    },
                ),
            ),
        ),
        (
            'Basic realm="a, b" , Bearer realm="c",error=insufficient_scope',
            (
                Challenge("basic", {"realm": "a, b"}),
                Challenge("bearer", {"realm": "c", "error": "insufficient_scope"}),
            ),
        ),
        ('Negotiate, Basic realm="x"', (Challenge("negotiate"), Challenge("basic", {"realm": "x"}))),
        ('NTLM dG9rZW4=, Basic realm="x"', (Challenge("ntlm"), Challenge("basic", {"realm": "x"}))),
        ('Basic realm="say \\"x\\""', (Challenge("basic", {"realm": 'say "x"'}),)),
        ('Basic realm=""', (Challenge("basic", {"realm": ""}),)),
    ],
)
def test_a_header_is_read_as_it_is_meant(header: str, challenges: tuple[Challenge, ...]) -> None:
    """Schemes and parameter names in lower case, values as they are, quotes undone."""
    assert read_challenges(header) == challenges


def test_what_cannot_be_read_ends_the_list() -> None:
    """What was read before stays."""
    assert read_challenges('Basic realm="x", "?') == (Challenge("basic", {"realm": "x"}),)


@given(st.lists(st.builds(Challenge, _WORDS.map(str.lower), _PARAMETERS), max_size=4))
def test_what_was_written_is_read(challenges: list[Challenge]) -> None:
    """Any challenges, written by the grammar, come back."""
    header = ", ".join(map(_written, challenges))
    assert read_challenges(header) == tuple(challenges)


@given(st.text(max_size=200))
def test_no_header_upsets_it(header: str) -> None:
    """Whatever a server sends, there is an answer, and quickly."""
    assert all(challenge.scheme == challenge.scheme.lower() for challenge in read_challenges(header))
