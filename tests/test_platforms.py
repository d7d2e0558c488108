"""Platforms: how they are written, and which images are for them."""

import pytest

from cephtasks import platforms
from cephtasks.errors import PlatformInvalid
from cephtasks.platforms import Platform


@pytest.mark.parametrize("text", ["linux/amd64", "linux/arm/v7", "windows/amd64"])
def test_what_is_read_is_shown_so(text: str) -> None:
    """A platform is written as it is read."""
    assert str(platforms.parse(text)) == text


@pytest.mark.parametrize("text", ["", "linux", "linux/", "/amd64", "linux/arm/v7/x", "Linux/amd64"])
def test_what_is_no_platform(text: str) -> None:
    """The hint shows how one is written; it is a mistake of whoever typed it."""
    with pytest.raises(PlatformInvalid) as caught:
        platforms.parse(text)
    assert (caught.value.fact, caught.value.exit_code) == (f"{text!r} is no platform", 2)


@pytest.mark.parametrize(
    ("wanted", "offered", "taken"),
    [
        ("linux/arm", "linux/arm/v7", True),
        ("linux/arm/v7", "linux/arm/v7", True),
        ("linux/arm/v7", "linux/arm/v6", False),
        ("linux/arm/v7", "linux/arm", False),
        ("linux/arm", "linux/arm64", False),
        ("linux/amd64", "windows/amd64", False),
    ],
)
def test_which_images_are_for_a_platform(wanted: str, offered: str, taken: bool) -> None:
    """Where no variant is asked for, any of them is."""
    assert platforms.parse(wanted).takes(platforms.parse(offered)) is taken


def test_a_platform_of_an_index() -> None:
    """Fields of other kinds are read as text, a missing variant as none."""
    assert Platform.read({"os": "linux", "architecture": "arm", "variant": None}) == Platform("linux", "arm")
    with pytest.raises(KeyError):
        Platform.read({"os": "linux"})
