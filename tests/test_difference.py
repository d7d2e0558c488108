"""Differences: which files changed, and what real engines fetch for that."""

import gzip
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from cephtasks import difference, layer, oci
from cephtasks.difference import Difference
from cephtasks.oci import Descriptor, Image, Layer
from cephtasks.reference import parse
from cephtasks.registry import Client, push
from cephtasks.store import Store
from cephtasks.tree import Entry
from lab.engines import Node, node
from lab.images import packed
from lab.layers import Member, file, folder, hardlink, image_of, symlink, tar
from lab.registries import Registry, registry


def _compare(*stacks: Sequence[Sequence[Member]], unread: Sequence[bytes] = ()) -> Difference:
    """The difference of two stacks of layers."""
    (a, blobs_a), (b, blobs_b) = (image_of([tar(*members) for members in stack]) for stack in stacks)
    blobs = {**blobs_a, **blobs_b}
    hidden = {oci.digest_of(raw) for raw in unread}

    def files_of(item: Layer) -> Sequence[Entry] | None:
        return None if item.diff_id in hidden else layer.entries(item, io.BytesIO(blobs[item.blob.digest]))

    return difference.compare(a, b, files_of)


def _paths(found: Difference) -> dict[str, list[str]]:
    return {
        name: [change.path for change in getattr(found, name)]
        for name in ("added", "removed", "changed")
        if getattr(found, name)
    }


_BELOW: list[Member] = [folder("etc"), file("etc/a", b"a"), file("etc/b", b"b"), symlink("etc/link", "a")]


def test_what_was_added_removed_and_changed() -> None:
    """By what a container sees, sorted by path."""
    above: list[Member] = [
        folder("etc"),
        file("etc/b", b"other"),
        file("etc/.wh.a"),
        file("etc/z"),
        file("etc/c"),
    ]
    assert _paths(_compare([_BELOW], [_BELOW, above])) == {
        "added": ["etc/c", "etc/z"],
        "removed": ["etc/a"],
        "changed": ["etc/b"],
    }


def test_the_other_way_round() -> None:
    """What was added is then removed."""
    above: list[Member] = [folder("etc"), file("etc/b", b"other"), file("etc/c")]
    assert _paths(_compare([_BELOW, above], [_BELOW])) == {"removed": ["etc/c"], "changed": ["etc/b"]}


@pytest.mark.parametrize(
    "member", [file("etc/a", b"a", 0o600), symlink("etc/a", "b"), folder("etc/a"), hardlink("etc/a", "etc/b")]
)
def test_a_change_is_more_than_other_content(member: Member) -> None:
    """It may be in the mode, or in what a path is."""
    above: list[Member] = [folder("etc"), file("etc/b", b"b"), member]
    found = _compare([_BELOW], [_BELOW, above])
    assert _paths(found) == {"changed": ["etc/a"]}


def test_files_that_are_written_again_as_they_were() -> None:
    """They did not change, in whatever layers they lie; they are fetched all the same."""
    found = _compare(
        [_BELOW, [folder("usr"), file("usr/x", b"x")]], [[*_BELOW, folder("usr"), file("usr/x", b"x")]]
    )
    assert _paths(found) == {}
    assert len(found.fetched) == 2


def test_the_same_image() -> None:
    """Nothing changed, and nothing is fetched."""
    found = _compare([_BELOW], [_BELOW])
    assert (_paths(found), found.fetched, found.fetched_bytes) == ({}, (), 0)


def test_each_layer_is_read_once() -> None:
    """Also one that both images have, or that one has twice."""
    (a, blobs), (b, _) = image_of([tar(*_BELOW)]), image_of([tar(*_BELOW), tar(file("x")), tar(*_BELOW)])
    blobs |= image_of([tar(file("x"))])[1]
    asked: list[str] = []

    def files_of(item: Layer) -> Sequence[Entry]:
        asked.append(item.diff_id)
        return layer.entries(item, io.BytesIO(blobs[item.blob.digest]))

    assert _paths(difference.compare(a, b, files_of)) == {"added": ["x"]}
    assert sorted(asked) == sorted(set(b.diff_ids))


def test_layers_that_are_not_read_are_named() -> None:
    """The others are compared without them."""
    above: list[Member] = [folder("etc"), file("etc/a", b"other"), file("etc/.wh.b")]
    found = _compare([_BELOW], [_BELOW, above], unread=[tar(*_BELOW)])
    assert [item.diff_id for item in found.unread] == [oci.digest_of(tar(*_BELOW))]
    assert _paths(found) == {"added": ["etc", "etc/a"]}


def test_what_a_program_reads() -> None:
    """Kinds, modes and sizes before and after, and what is fetched, in bytes."""
    above: list[Member] = [
        folder("etc"),
        file("etc/a", b"other", 0o4755),
        file("etc/.wh.b"),
        symlink("etc/c", "a"),
    ]
    b, blobs = image_of([tar(*_BELOW), tar(*above)])
    top = oci.digest_of(tar(*above))
    assert json.loads(json.dumps(_compare([_BELOW], [_BELOW, above]).document())) == {
        "added": [
            {
                "path": "etc/c",
                "before": None,
                "after": {"kind": "symlink", "mode": "0777", "size": 0, "target": "a"},
            }
        ],
        "removed": [{"path": "etc/b", "before": {"kind": "file", "mode": "0644", "size": 1}, "after": None}],
        "changed": [
            {
                "path": "etc/a",
                "before": {"kind": "file", "mode": "0644", "size": 1},
                "after": {"kind": "file", "mode": "4755", "size": 5},
            }
        ],
        "fetched": [
            {"digest": b.config_blob.digest, "size": len(b.config)},
            {"digest": top, "size": len(blobs[top])},
        ],
        "fetched_bytes": len(b.config) + len(blobs[top]),
        "unread": [],
    }


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry of these tests alone, whose log can be read."""
    with registry(tmp_path_factory.mktemp("registry")) as started:
        yield started


@pytest.fixture(scope="module")
def other_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """An engine as a node of a cluster has it."""
    with node(tmp_path_factory.mktemp("node")) as started:
        yield started


_LAYERS = [{f"file{number}": os.urandom(1000)} for number in range(4)]


@pytest.mark.parametrize(
    ("name", "a", "b"),
    [
        ("on-top", [0, 1], [0, 1, 2]),
        ("below", [0, 1, 2], [0, 3, 1, 2]),
        ("replaced", [0, 1, 2], [0, 3, 2]),
        ("twice", [0, 1], [0, 2, 3, 2]),
        ("again", [0, 1, 2], [2, 0]),
        ("fewer", [0, 1, 2], [0, 1]),
        ("same", [0, 1], [0, 1]),
    ],
)
def test_a_real_engine_fetches_what_is_told(
    lab: Registry, other_engine: Node, tmp_path: Path, name: str, a: Sequence[int], b: Sequence[int]
) -> None:
    """These very blobs, each once."""
    store = Store(tmp_path)
    files: list[Mapping[str, bytes]] = [{**item, "test": name.encode()} for item in _LAYERS]
    before, after = (packed(store, name, [files[number] for number in stack]) for stack in (a, b))
    got = _got_by(lab, other_engine, store, name, before, after)
    assert sorted(got) == sorted(blob.digest for blob in difference.fetched(before, after))


def test_the_same_files_compressed_otherwise_are_fetched(
    lab: Registry, other_engine: Node, tmp_path: Path
) -> None:
    """An engine cannot know that a blob holds what it has; nor of the layers above."""
    store = Store(tmp_path)
    before = packed(store, "before", [{"test": b"otherwise"}, _LAYERS[0]])
    lowest, upper = before.layers
    with store.open(lowest.blob.digest) as blob:
        raw = gzip.compress(layer.decompressed(blob).read(), mtime=1)
    other = Descriptor(lowest.blob.media_type, store.put(raw), len(raw))
    config = oci.encode({**before.config_document, "author": "somebody else"})
    after = oci.image(config, [Layer(other, lowest.diff_id), upper])
    store.put_image(after, "after")
    got = _got_by(lab, other_engine, store, "otherwise", before, after)
    assert sorted(got) == sorted(blob.digest for blob in difference.fetched(before, after))
    assert set(got) == {after.config_blob.digest, other.digest, upper.blob.digest}


def _got_by(
    lab: Registry, engine: Node, store: Store, name: str, before: Image, after: Image
) -> Sequence[str]:
    """The digests of the blobs that an engine gets for an image when it has another."""
    references = [parse(f"{lab.host}/difference/{name}:{number}") for number in (1, 2)]
    with Client(lab.host) as client:
        for reference, image in zip(references, (before, after), strict=True):
            push(client, reference, image, store.open)
    engine.docker("pull", str(references[0]))
    done = len(lab.requests())
    engine.docker("pull", str(references[1]))
    asked = [path for method, path, _ in lab.requests()[done:] if method == "GET" and "/blobs/" in path]
    return [path.rpartition("/")[2] for path in asked]
