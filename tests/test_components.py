"""Components: which part of Ceph a file belongs to."""

import pytest

from cephtasks.components import CEPH, REST, Component, extend, name_of, parse, ranking
from lab import ceph_files


def component(path: str, table: tuple[Component, ...] = CEPH) -> str:
    """The name of a path's component."""
    return name_of(table, ranking(table)(path))


def test_the_table_knows_every_file_of_debians_packages() -> None:
    """None of a real Ceph 16 falls to the rest."""
    assert [path for path in ceph_files.debian_paths() if component(path) == REST] == []


def test_the_table_knows_every_file_of_els_packages() -> None:
    """Neither does one of today's packages for EL, with lib64, sbin and libexec."""
    assert [path for path in ceph_files.el_paths() if component(path) == REST] == []


@pytest.mark.parametrize("name", [component.name for component in CEPH if component.name != "tests"])
def test_every_component_has_files_in_real_packages(name: str) -> None:
    """On Debian as on EL; only tests are not packaged by Debian."""
    for paths in (ceph_files.debian_paths(), ceph_files.el_paths()):
        assert any(component(path) == name for path in paths)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("usr/bin/ceph-osd", "osd"),
        ("bin/ceph-osd-classic", "osd"),
        ("usr/local/bin/crimson-osd", "osd"),
        ("usr/lib/x86_64-linux-gnu/ceph/libceph-common.so.2", "common"),
        ("usr/lib64/librados.so.2.0.0", "common"),
        ("lib/librgw.so.2", "rgw"),
        ("usr/bin/radosgw-admin", "rgw"),
        ("usr/bin/rados", "common"),
        ("usr/sbin/ceph-volume", "python"),
        ("usr/lib/python3/dist-packages/rbd.cpython-311-x86_64-linux-gnu.so", "python"),
        ("usr/lib64/rados-classes/libcls_rbd.so", "plugins"),
        ("usr/share/man/man8/ceph-osd.8.gz", "docs"),
        ("lib/systemd/system/ceph-osd@.service", "config"),
        ("usr/share/ceph/mgr/dashboard/module.py", "mgr"),
        ("usr/bin/ceph_test_rados", "tests"),
        ("usr/bin/my-own-tool", REST),
    ],
)
def test_a_path_belongs_to_its_part(path: str, name: str) -> None:
    """Wherever things are installed; the last component that matches has it."""
    assert component(path) == name


def test_components_of_ones_own_lie_on_top() -> None:
    """And win over those of the table; a known name adds globs to that component."""
    own = parse("mine=/usr/bin/ceph-osd,usr/lib/mine/*  rbd=usr/bin/rbd2")
    assert own == (
        Component("mine", ("usr/bin/ceph-osd", "usr/lib/mine/*")),
        Component("rbd", ("usr/bin/rbd2",)),
    )
    table = extend(CEPH, own)
    assert [item.name for item in table] == [*(item.name for item in CEPH), "mine"]
    assert component("usr/bin/ceph-osd", table) == component("usr/lib/mine/a/b", table) == "mine"
    assert component("usr/bin/rbd", table) == component("usr/bin/rbd2", table) == "rbd"


def test_no_components_are_written_as_nothing() -> None:
    """The setting may be empty."""
    assert parse(" ") == ()


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("mine", "mine is not written NAME=GLOB,GLOB"),
        ("mine=", "mine= is not written"),
        ("mine=a,,b", "mine=a,,b is not written"),
        ("=usr/bin/*", "=usr/bin/\\* is not written"),
        ("My,Own=a", "My,Own=a is not written"),
        ("a=x a=y", "a=y names the component a a second time"),
        ("rest=x", "rest=x names the component rest"),
    ],
)
def test_what_is_not_a_component_is_told(text: str, fault: str) -> None:
    """The fault names the word."""
    with pytest.raises(ValueError, match=fault):
        parse(text)
