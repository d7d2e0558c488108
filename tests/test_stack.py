"""Stacks: how much of each layer still shows."""

from cephtasks.stack import Share, StackLayer, shares
from cephtasks.tree import Entry, Kind, flatten


def file(path: str, size: int, sign: str = "a") -> Entry:
    """A file; the sign stands for its content."""
    return Entry(path, Kind.FILE, 0o644, size, sign * 64)


BASE = flatten([[file("base", 7, "b")]])


def shadowed(*layers: tuple[Entry, ...]) -> list[int]:
    """The bytes of each layer that nobody sees."""
    return [share.shadowed_bytes for share in shares(BASE, [StackLayer("x", layer) for layer in layers])]


def test_a_layer_tells_what_it_holds() -> None:
    """Component, files, bytes of content and of the blob."""
    layer = StackLayer("osd", (Entry("d", Kind.FOLDER), file("d/a", 10), file("d/b", 20)), blob_bytes=9)
    assert shares(BASE, [layer]) == (Share("osd", 2, 30, 0, 9),)


def test_what_is_replaced_or_deleted_above_is_shadowed() -> None:
    """By a file, by a whiteout, and by a file in place of the folder that held it."""
    first = (Entry("d", Kind.FOLDER), file("a", 1), file("b", 2), file("d/c", 4), file("e", 8))
    second = (file("a", 16, "z"), Entry("b", Kind.WHITEOUT), file("d", 32))
    assert shadowed(first, second) == [7, 0]


def test_what_is_the_bases_own_is_shadowed() -> None:
    """It would not be there in a new stack."""
    assert shadowed((file("base", 7, "x"),), (file("base", 7, "b"), file("a", 1))) == [7, 7]


def test_a_content_shows_as_long_as_one_of_its_names_does() -> None:
    """Names of one file hold one content."""
    link = Entry("b", Kind.HARDLINK, 0o644, target="a")
    gone = (Entry("a", Kind.WHITEOUT), Entry("b", Kind.WHITEOUT))
    assert shadowed((file("a", 5), link), gone[:1]) == [0, 0]
    assert shadowed((file("a", 5), link), gone) == [5, 0]
