"""Scopes: what is asked for, and what a registry wants besides."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cephtasks.registry.scopes import CATALOG_SCOPES, delete_scopes, pull_scopes, push_scopes, widened

_WORDS = st.text("abcdefghijklmnopqrstuvwxyz/.*", min_size=1, max_size=8)
_SCOPES = st.builds(
    lambda kind, name, actions: f"{kind}:{name}:{','.join(actions)}",
    _WORDS,
    st.lists(_WORDS, min_size=1, max_size=2).map(":".join),
    st.lists(_WORDS, min_size=1, max_size=3, unique=True),
)


@pytest.mark.parametrize(
    ("asked", "wanted", "together"),
    [
        (push_scopes("a/b"), "repository:a/b:pull", push_scopes("a/b")),
        (pull_scopes("a/b"), "repository:a/b:push,pull", push_scopes("a/b")),
        (pull_scopes("a/b"), "repository:c:pull", ("repository:a/b:pull", "repository:c:pull")),
        (push_scopes("a"), "repository:a:delete", ("repository:a:pull,push,delete",)),
        (pull_scopes("lab:5000/a"), "repository:lab:5000/a:pull", pull_scopes("lab:5000/a")),
        (CATALOG_SCOPES, "registry:catalog:*", CATALOG_SCOPES),
        (("repository:a:*",), "repository:a:delete", ("repository:a:*",)),
        ((), "repository:a:pull registry:catalog:*", ("repository:a:pull", "registry:catalog:*")),
        (delete_scopes("a"), "", delete_scopes("a")),
    ],
)
def test_scopes_together(asked: tuple[str, ...], wanted: str, together: tuple[str, ...]) -> None:
    """One scope a resource, with the actions of both; what all is allowed needs no more."""
    assert widened(asked, wanted) == together


@given(st.lists(_SCOPES, max_size=3).map(tuple), st.lists(_SCOPES, max_size=3).map(" ".join))
def test_what_was_added_adds_nothing_again(asked: tuple[str, ...], wanted: str) -> None:
    """Else each refusal would make another token."""
    once = widened(asked, wanted)
    assert widened(once, wanted) == once


@given(st.text(max_size=60))
def test_no_challenge_upsets_it(wanted: str) -> None:
    """Whatever a registry writes; what was asked for is still asked for first."""
    assert widened(pull_scopes("a"), wanted)[0].startswith("repository:a:pull")
