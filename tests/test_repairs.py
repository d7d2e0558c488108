"""Repairs: what a label says of them is read back, and kept only as far as it still holds."""

from hypothesis import given
from hypothesis import strategies as st

from cephtasks import repairs
from cephtasks.repairs import Repairs

_NAMES = st.dictionaries(st.text(min_size=1), st.text(min_size=1), max_size=4)
_MENDED = Repairs(
    {"usr/lib/libst.so.1.0.0": "build/lib/libst.so.1.0.0", "usr/lib/libx.so": "build/lib/libx.so"},
    {"usr/lib/libst.so.1": "libst.so.1.0.0"},
)


@given(_NAMES.filter(bool), _NAMES)
def test_a_label_is_read_back(files: dict[str, str], links: dict[str, str]) -> None:
    """Whatever paths are called."""
    assert repairs.read(Repairs(files, links).labels()) == Repairs(files, links)


def test_nothing_repaired_needs_no_label() -> None:
    """An image that was never mended says nothing of it."""
    assert Repairs().labels() == {}
    assert repairs.read({}) == Repairs()


@given(st.text())
def test_a_strange_label_says_nothing(text: str) -> None:
    """Somebody else's label of that name is no repair."""
    assert isinstance(repairs.read({repairs.LABEL: text}), Repairs)
    assert repairs.read({repairs.LABEL: "[1]"}) == Repairs()
    assert repairs.read({repairs.LABEL: '{"files": 1}'}) == Repairs()


def test_a_file_that_is_not_needed_takes_its_link_along() -> None:
    """Other files stay."""
    left = _MENDED.without(frozenset({"usr/lib/libst.so.1.0.0"}))
    assert left == Repairs({"usr/lib/libx.so": "build/lib/libx.so"}, {})


def test_later_repairs_win() -> None:
    """A file that is mended again comes from where it was found last."""
    later = Repairs({"usr/lib/libx.so": "build/lib64/libx.so"})
    assert (_MENDED | later).files["usr/lib/libx.so"] == "build/lib64/libx.so"
    assert (_MENDED | later).links == _MENDED.links
