"""Cuts: how what must be written becomes layers."""

import pytest

from cephtasks.components import CEPH
from cephtasks.cut import cost, cut, most_layers
from cephtasks.goal import lay
from cephtasks.stack import NewLayer
from cephtasks.tree import Entry, Kind

MIB = 1 << 20


def layers(sizes: dict[str, int], room: int = 40) -> tuple[NewLayer, ...]:
    """The layers of a tree with files of so many MiB, on an empty base."""
    tree = {path: Entry(path, Kind.FILE, 0o755, size * MIB, f"{size:064x}") for path, size in sizes.items()}
    goal = lay({}, tree)
    made = cut(goal, goal.changed, CEPH, room)
    assert len(made) <= most_layers(cost(goal, goal.changed), room)
    assert sum(layer.content_bytes for layer in made) == sum(sizes.values()) * MIB
    return made


def told(made: tuple[NewLayer, ...]) -> list[tuple[str, int]]:
    """The component and the MiB of each layer."""
    return [(layer.component, layer.content_bytes // MIB) for layer in made]


def test_up_to_64_mib_stay_one_layer() -> None:
    """Whatever components they are of."""
    assert told(layers({"bin/ceph-osd": 30, "bin/ceph-mon": 30, "lib/librados.so": 3})) == [
        ("mon, osd, common", 63)
    ]


def test_a_layer_ends_with_its_component() -> None:
    """Once it has half a share, a tenth of all; what changes least comes first."""
    sizes = {"bin/ceph-osd": 96, "bin/ceph-mon": 20, "bin/radosgw": 24, "lib/librados.so": 20}
    assert told(layers(sizes)) == [("mon", 20), ("rgw", 24), ("osd", 96), ("common", 20)]


def test_a_small_component_shares_a_layer() -> None:
    """With its neighbour above, or below where it comes last."""
    sizes = {"share/doc/ceph": 1, "bin/ceph-osd": 40, "bin/ceph-mon": 40, "bin/mine": 1}
    assert told(layers(sizes)) == [("docs, mon", 41), ("osd, rest", 41)]


def test_a_large_component_is_cut_between_files() -> None:
    """Into shares of a fifth of all."""
    made = layers({f"bin/ceph_test_{number:02}": 10 for number in range(15)})
    assert told(made) == [("tests", 30)] * 5


def test_one_large_file_is_one_layer() -> None:
    """No layer holds half a file."""
    assert told(layers({"bin/ceph-osd": 1000, "bin/ceph-mds": 1})) == [("mds, osd", 1001)]


@pytest.mark.parametrize("room", range(1, 20))
def test_there_are_never_more_layers_than_there_is_room_for(room: int) -> None:
    """However many components and files there are."""
    sizes = {f"bin/ceph_test_{number:02}": 10 for number in range(50)}
    sizes |= {"bin/ceph-osd": 50, "bin/ceph-mon": 30, "bin/radosgw": 40, "lib/librados.so": 40, "bin/rbd": 31}
    assert 1 <= len(layers(sizes, room)) <= room
