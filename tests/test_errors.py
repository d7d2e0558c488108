"""Errors: the tree that is drawn is the tree that is, and each error says two lines."""

import inspect
import re
from collections.abc import Iterator

import pytest
from invoke.exceptions import Exit

from cephtasks import errors
from cephtasks.errors import CephtasksError, Interrupted, RegistryRefused, SettingsInvalid, UsageError

# Drawn as `tree` draws folders: three columns a level, then the name, then perhaps a remark.
BRANCH = re.compile(r"^ {4}(?P<indent>[ │]*)[├└]─ (?P<name>\w+)(?: {2,}(?P<remark>.*))?$")


def drawn() -> Iterator[tuple[str, int, str]]:
    """Name, depth and remark of every line of the tree in the docstring."""
    for line in (errors.__doc__ or "").splitlines():
        if match := BRANCH.match(line):
            yield match["name"], len(match["indent"]) // 4, match["remark"] or ""


def classes() -> list[type[CephtasksError]]:
    """Every error, in the order of the text."""
    return [
        value
        for value in vars(errors).values()
        if inspect.isclass(value) and issubclass(value, CephtasksError)
    ]


def depth(error: type[CephtasksError]) -> int:
    """How many errors of ours lie above this one."""
    return len([above for above in error.__mro__[1:] if issubclass(above, CephtasksError)])


def leaves() -> list[type[CephtasksError]]:
    """The errors that are raised: those without others below them."""
    return [error for error in classes() if not error.__subclasses__()]


def test_the_tree_is_drawn_as_it_is() -> None:
    """The docstring names every error, in the order and at the depth of the classes."""
    assert [(name, level) for name, level, _ in drawn()] == [
        (error.__name__, depth(error)) for error in classes()
    ]


def test_the_exit_codes_are_drawn_as_they_are() -> None:
    """A remark tells the exit code where it differs from that of the error above; no other does."""
    for name, _, remark in drawn():
        error = getattr(errors, name)
        inherited = getattr(error.__mro__[1], "exit_code", None)
        told = re.match(r"exit (\d+):", remark)
        assert (int(told[1]) if told else inherited) == error.exit_code, name


def test_exit_codes_tell_usage_from_failure() -> None:
    """Exit 2 is for what was wrong before anything started, 130 for Ctrl-C, 1 for the rest."""
    for error in leaves():
        expected = 2 if issubclass(error, UsageError) else 130 if error is Interrupted else 1
        assert error.exit_code == expected, error


def test_every_error_says_what_it_is() -> None:
    """Each class has a docstring of its own, in one sentence."""
    for error in classes():
        text = inspect.cleandoc(error.__dict__["__doc__"])
        assert text.endswith("."), error
        assert "\n" not in text, error


@pytest.mark.parametrize("error", [e for e in leaves() if e is not SettingsInvalid], ids=lambda e: e.__name__)
def test_an_error_is_one_line_and_a_hint(error: type[CephtasksError]) -> None:
    """What Invoke prints is `error:` with the fact, then `hint:` with what to type."""
    raised = error("the fact", "the hint")
    assert isinstance(raised, Exit)
    assert raised.message == str(raised) == "error: the fact\nhint: the hint"
    assert (raised.fact, raised.hint, raised.code) == ("the fact", "the hint", error.exit_code)


def test_an_error_without_a_hint_is_one_line() -> None:
    """No empty hint is printed."""
    assert str(CephtasksError("the fact")) == "error: the fact"


def test_settings_have_a_line_for_every_fault() -> None:
    """Faults are listed together, under one hint."""
    raised = SettingsInvalid(["one", "two"], "mend these")
    assert str(raised) == "error: one\nerror: two\nhint: mend these"
    assert (raised.faults, raised.fact) == (("one", "two"), "one")


def test_what_a_registry_answered_is_kept() -> None:
    """Status and error code can be asked for, where a decision hangs on them."""
    raised = RegistryRefused("no", "", status=404, error_code="NAME_UNKNOWN", retry_after=3)
    assert (raised.status, raised.error_code, raised.retry_after) == (404, "NAME_UNKNOWN", 3)
