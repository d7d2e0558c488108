"""Delta stacks, in a real engine: after every edit a container sees the base with the tree laid over it."""

import io
import random
from typing import IO

import pytest

from cephtasks import layer, layer_index, oci
from cephtasks.engine import Engine
from cephtasks.errors import TreeInvalid
from cephtasks.goal import lay
from cephtasks.layer_index import LayerIndex
from cephtasks.oci import Descriptor, Layer
from cephtasks.plan import plan
from cephtasks.stack import NewLayer, Origin, Source, StackLayer
from cephtasks.tree import LAYER_INDEX, Entry, Index, Kind, flatten, index_tar
from lab import edits
from lab.edits import Node, Nodes
from lab.layers import archived, seen_by_container, tar


class Follower:
    """An image that follows a tree: packed as is planned, loaded into the engine without what it has."""

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine, self._name = engine, name
        raw = tar(*edits.base_members())
        digest = oci.digest_of(raw)
        self._base_files = edits.base_contents()
        self._blobs = {digest: raw}
        self._layers = [Layer(Descriptor(oci.OCI_LAYER_GZIP, digest, len(raw)), digest)]
        self._steps = 0
        self.base: Index = flatten([index_tar(io.BytesIO(raw))])
        self.stack: list[StackLayer] = []

    def follow(self, nodes: Nodes) -> dict[str, Entry]:
        """Pack a tree and load it; what a container of the image sees."""
        planned = plan(self.base, edits.index(nodes), self.stack)
        present = {item.diff_id for item in self._layers if self._steps}
        self._layers, self.stack = self._layers[: 1 + planned.kept], self.stack[: planned.kept]
        for new in planned.layers:
            made = self._written(new, nodes)
            self._layers.append(made)
            self.stack.append(StackLayer(new.component, new.entries, made.blob.size))
        rootfs = {"type": "layers", "diff_ids": [item.diff_id for item in self._layers]}
        config = {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs}
        image = oci.image(oci.encode(config), self._layers)
        self._steps += 1
        name = f"{self._name}:{self._steps}"
        self._engine.load(archived(image, name, present, self._blobs))
        return seen_by_container(name)

    def indexes(self) -> list[LayerIndex | None]:
        """What the layers of the stack say of themselves."""
        return [layer_index.read(ranges_of(self._blobs[item.blob.digest])) for item in self._layers[1:]]

    def _written(self, new: NewLayer, nodes: Nodes) -> Layer:
        index = LayerIndex(new.component, new.entries)
        document = b"".join(layer_index.document(index))
        sources = {
            entry.path: new.sources.get(entry.path, Source(Origin.TREE, entry.path)) for entry in new.entries
        }

        def open_source(entry: Entry) -> IO[bytes]:
            return io.BytesIO(
                document if entry.path == LAYER_INDEX else self._content(sources[entry.path], nodes)
            )

        sink = io.BytesIO()
        made = layer.write((layer_index.first_entry(index), *new.entries), open_source, sink, "gzip")
        self._blobs[made.blob.digest] = sink.getvalue()
        return made

    def _content(self, source: Source, nodes: Nodes) -> bytes:
        return nodes[source.path].content if source.origin is Origin.TREE else self._base_files[source.path]


def ranges_of(blob: bytes) -> layer_index.ReadRange:
    """A blob, to be read by ranges."""
    return lambda offset, length: blob[offset : offset + length]


def expected(follower: Follower, nodes: Nodes) -> dict[str, Entry]:
    """The base with the tree laid over it, but for a folder that the engine writes to itself."""
    files = lay(follower.base, edits.index(nodes)).files
    return {path: entry for path, entry in files.items() if path != "etc"}


def as_files(index: Index) -> dict[str, Entry]:
    """An index with hard links as files, without what layers of ours begin with."""
    return {path: entry for path, entry in flatten([index.values()]).items() if path != "etc"}


@pytest.fixture
def follower(engine: Engine, image_name: str) -> Follower:
    """An image of this test alone, which follows a tree from nothing."""
    return Follower(engine, image_name)


@pytest.mark.parametrize("seed", range(3))
def test_a_container_sees_the_base_and_the_tree(follower: Follower, seed: int) -> None:
    """Whatever is edited, added, deleted, renamed, linked, or becomes something else."""
    chance = random.Random(seed)  # noqa: S311
    nodes: Nodes = {}
    for _ in range(8):
        for _ in range(3):
            edited = edits.edited(nodes, chance.choice)
            try:
                lay(follower.base, edits.index(edited))
            except TreeInvalid:
                continue
            nodes = edited
        assert as_files(follower.follow(nodes)) == expected(follower, nodes)
        assert follower.indexes() == [LayerIndex(item.component, item.entries) for item in follower.stack]


def file(content: bytes, mode: int = 0o644, number: int = 0) -> Node:
    """A file of a tree."""
    return Node(Kind.FILE, mode, content, number=number or hash(content))


FOLDER, LINK = Node(Kind.FOLDER), Node(Kind.SYMLINK, 0o777, target="nowhere")
LARGE = {"large": file(bytes(100_000))}  # beside it nothing is worth a compaction


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"opt": FOLDER, "opt/x": file(b"x")}, {"opt": file(b"f")}),
        ({"opt": FOLDER, "opt/x": file(b"x")}, {"opt": LINK}),
        ({"opt": file(b"f")}, {"opt": FOLDER, "opt/x": file(b"x")}),
        ({"opt": LINK}, {"opt": FOLDER, "opt/x": file(b"x")}),
        ({"opt": file(b"f")}, {"opt": LINK}),
        ({"opt": FOLDER, "opt/x": file(b"x"), "opt/y": file(b"y")}, {"opt": FOLDER, "opt/y": file(b"y")}),
        ({"opt": FOLDER, "opt/x": FOLDER, "opt/x/y": file(b"y")}, {"opt": FOLDER}),
        ({"opt": FOLDER, "opt/x": file(b"x")}, {"opt": Node(Kind.FOLDER, 0o1700), "opt/x": file(b"x")}),
        ({"usr": FOLDER, "usr/lib": FOLDER, "usr/lib/d": LINK}, {}),
        ({"etc": FOLDER, "etc/conf": FOLDER, "etc/conf/x": file(b"x")}, {}),
        ({"usr": FOLDER, "usr/lib": FOLDER, "usr/lib/closed": file(b"f")}, {}),
        ({"usr": FOLDER, "usr/one": file(b"1"), "usr/two": file(b"2")}, {}),
        ({"usr": FOLDER, "usr/device": file(b"f")}, {}),
    ],
)
def test_everything_becomes_anything(follower: Follower, before: Nodes, after: Nodes) -> None:
    """And back again, on layers that keep what was there before."""
    for nodes in (before, after, before, after):
        nodes = {**nodes, **LARGE}  # noqa: PLW2901
        assert as_files(follower.follow(nodes)) == expected(follower, nodes)


def test_names_of_one_file_stay_one_file(follower: Follower) -> None:
    """In the container they are hard links, also after an edit of the file."""
    for content in (b"one", b"two"):
        nodes = {name: file(content, number=7) for name in ("a", "b", "c")} | LARGE
        shown = follower.follow(nodes)
        assert sorted(entry.kind for path, entry in shown.items() if path in "abc") == [
            "file",
            "hardlink",
            "hardlink",
        ]
