"""Pruning: what goes of a repository, and what never does."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from cephtasks.document import Document
from cephtasks.keep_rules import KeepRules
from cephtasks.oci import OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST, Descriptor, encode
from cephtasks.registry.contents import Contents
from cephtasks.registry.pruning import Prune, decide

_NOW = datetime(2026, 11, 25, tzinfo=UTC)


def _image(name: str) -> Document:
    config, layer = (Descriptor(kind, f"sha256:{name * 64}", 10) for kind in (OCI_CONFIG, OCI_LAYER))
    return Document(encode({"config": config.document(), "layers": [layer.document()]}))


def _index(*images: Document) -> Document:
    listed = [Descriptor(OCI_MANIFEST, image.digest, len(image.raw)).document() for image in images]
    return Document(encode({"mediaType": OCI_INDEX, "manifests": listed}))


_A, _B, _C, _D = map(_image, "abcd")
_AGES = {_A: 1, _B: 2, _C: 3, _D: 4}  # days


def _decided(tags: Mapping[str, Document], rules: KeepRules, *others: Document) -> Prune:
    """What goes of a repository with these tags, and with manifests that indexes name."""
    held = Contents(
        "a/b",
        {tag: document.digest for tag, document in tags.items()},
        {document.digest: document for document in (*tags.values(), *others)},
    )
    days = {document.digest: age for document, age in _AGES.items()}
    for document in tags.values():
        ages = [days[child.blob.digest] for child in document.children]
        days |= {document.digest: min(ages)} if ages else {}
    return decide(held, {digest: _NOW - timedelta(days=age) for digest, age in days.items()}, rules, _NOW)


def _going(decided: Prune) -> list[str]:
    return sorted(verdict.tag for verdict in decided.going)


def test_the_newest_are_kept_by_age_and_not_by_name() -> None:
    """An image with two tags counts once."""
    decided = _decided({"1": _B, "2": _D, "3": _C, "4": _A, "5": _A}, KeepRules(newest=2))
    assert _going(decided) == ["2", "3"]
    assert decided.manifests == (_D.digest, _C.digest)
    assert [verdict.tag for verdict in decided.verdicts] == ["4", "5", "1", "3", "2"]
    assert decided.verdicts[0].reason == "one of the newest 2"


def test_names_and_ages_keep_too() -> None:
    """Each rule keeps for itself."""
    rules = KeepRules(newest=1, matching=("v*",), older_than=timedelta(days=2, hours=1))
    decided = _decided({"a": _A, "b": _B, "c": _C, "v1": _D}, rules)
    assert [verdict.reason for verdict in decided.verdicts] == [
        "one of the newest 1",
        "not that old",
        "",
        "matches v*",
    ]


def test_of_a_manifest_that_a_kept_tag_names_only_the_tag_goes() -> None:
    """The other tag still has it."""
    decided = _decided({"new": _A, "old": _B, "stable": _B}, KeepRules(newest=1, matching=("stable",)))
    assert (_going(decided), decided.tags, decided.manifests) == (["old"], ("old",), ())
    assert decided.bytes == 0


def test_what_a_kept_index_names_stays() -> None:
    """Also where it has a tag of its own that goes, or another index that goes names it too."""
    kept, gone = _index(_A, _D), _index(_D, _C)
    decided = _decided({"kept": kept, "gone": gone, "arm": _D}, KeepRules(newest=1), _A, _C)
    assert (_going(decided), decided.tags) == (["arm", "gone"], ("arm",))
    assert decided.manifests == (gone.digest, _C.digest)


def test_what_has_no_age_stays() -> None:
    """It is no image, or was made so that it tells none."""
    chart = _image("e")
    decided = _decided({"chart": chart, "a": _A, "b": _B}, KeepRules(newest=1))
    assert _going(decided) == ["b"]
    assert {verdict.reason for verdict in decided.verdicts if verdict.tag == "chart"} == {"age not known"}


def test_bytes_are_those_that_nothing_else_has() -> None:
    """A manifest's own, and its blobs'."""
    assert _decided({"a": _A, "b": _B}, KeepRules(newest=1)).bytes == len(_B.raw) + 10


_DOCUMENTS = (_A, _B, _C, _D, _index(_A, _B), _index(_B, _C), _index(_index(_A, _D), _C))


@given(
    st.dictionaries(st.sampled_from("uvwxyz"), st.sampled_from(_DOCUMENTS[:6])),
    st.integers(0, 4),
    st.lists(st.sampled_from("uvwxyz"), max_size=2),
    st.none() | st.integers(0, 5),
)
def test_whatever_the_rules(
    tags: dict[str, Document], newest: int, matching: list[str], days: int | None
) -> None:
    """No kept tag loses anything that it leads to, and every tag that goes loses its name."""
    age = None if days is None else timedelta(days=days)
    decided = _decided(tags, KeepRules(newest, tuple(matching), age), _A, _B, _C, _D)
    kept = {verdict.tag for verdict in decided.verdicts if verdict.reason}
    needed = {tags[tag].digest for tag in kept}
    needed |= {child.blob.digest for tag in kept for child in tags[tag].children}
    assert needed.isdisjoint(decided.manifests)
    for verdict in decided.going:
        assert (verdict.tag in decided.tags) != (verdict.digest in decided.manifests)
    assert kept.isdisjoint(decided.tags)
