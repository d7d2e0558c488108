"""Components: say which part of Ceph a file of an image belongs to."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import translate

REST = "rest"


@dataclass(frozen=True)
class Component:
    """A part that tends to change as one, and the globs of its paths in an image; `*` matches `/` too."""

    name: str
    globs: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name}={','.join(self.globs)}"


# What changes least comes first, and lies at the bottom of a stack. A path belongs to the last component
# that matches it. The globs hold for Debian's `usr/lib/x86_64-linux-gnu` and EL's `usr/lib64` and
# `usr/libexec`, with and without usr-merge, and for `usr/local`. The common libraries are nearly at the
# top: they hold the messenger, the maps and the version string, so most edits change them.
CEPH = (
    Component(
        "docs",
        (
            "*share/doc/*",
            "*share/man/*",
            "*share/lintian/*",
            "*share/licenses/*",
            "*include/*",
            "*/pkgconfig/*",
        ),
    ),
    Component(
        "config",
        (
            *("etc/*", "var/*", "*/systemd/*", "*/udev/*", "*/tmpfiles.d/*", "*/sysctl.d/*", "*/ocf/*"),
            *("*share/bash-completion/*", "*share/snmp/*", "*share/selinux/*", "*share/ceph/*drop.ceph.com*"),
        ),
    ),
    Component(
        "tests",
        (
            *(
                "*bin/ceph_test_*",
                "*bin/ceph_bench_log",
                "*bin/ceph_multi_stress_watch",
                "*bin/ceph_omapbench",
            ),
            *("*bin/ceph_erasure_code*", "*bin/ceph_ec_*", "*bin/ceph_objectstore_bench", "*bin/ceph_perf_*"),
            *("*bin/ceph_psim", "*bin/ceph_rgw_*", "*bin/ceph_scratchtool*", "*bin/ceph-client-debug"),
            *("*bin/ceph-coverage", "*bin/ceph-debugpack", "*bin/ceph-dedup-*", "*bin/crimson-store-*"),
            *("*bin/unittest_*", "*/ceph-monstore-update-crush.sh"),
        ),
    ),
    Component(
        "python",
        (
            *("*/dist-packages/*", "*/site-packages/*", "*bin/ceph-volume*", "*bin/cephadm", "*/cephadm_*"),
            *("*bin/cephfs-shell", "*bin/cephfs-top", "*bin/ceph-node-proxy", "*bin/ceph-smb-ctl"),
        ),
    ),
    Component(
        "plugins",
        (
            *("*/rados-classes/*", "*/ceph/erasure-code/*", "*/ceph/compressor/*", "*/ceph/crypto/*"),
            *("*/ceph/extblkdev/*", "*/ceph/denc/*"),
        ),
    ),
    Component(
        "rbd",
        (
            *(
                "*bin/rbd",
                "*bin/rbd-*",
                "*bin/rbdmap",
                "*bin/ceph-rbdnamer",
                "*bin/ceph-immutable-object-cache",
            ),
            *("*/librbd.so*", "*/librbd_tp.so*", "*/ceph/librbd/*", "*/rbd-nbd/*"),
        ),
    ),
    Component(
        "cephfs",
        (
            *(
                "*bin/ceph-fuse",
                "*bin/mount.ceph",
                "*bin/mount.fuse.ceph",
                "*bin/ceph-syn",
                "*bin/libcephfsd",
            ),
            *("*bin/cephfs-mirror", "*/libcephfs.so*", "*/libcephfs_*.so*", "*/libcephfs*.jar"),
        ),
    ),
    Component(
        "mds",
        ("*bin/ceph-mds", "*bin/cephfs-*-tool", "*bin/cephfs-data-scan", "*bin/cephfs-tool"),
    ),
    Component("mgr", ("*bin/ceph-mgr", "*share/ceph/mgr/*", "*/libmgr_op_tp.so*")),
    Component(
        "mon",
        (
            *(
                "*bin/ceph-mon",
                "*bin/ceph-monstore-tool",
                "*bin/monmaptool",
                "*bin/crushtool",
                "*bin/crushdiff",
            ),
            "*bin/ceph-nvmeof-monitor-client",
        ),
    ),
    Component(
        "rgw",
        (
            *("*bin/radosgw", "*bin/radosgw-*", "*bin/rgw-*", "*bin/ceph-diff-sorted", "*/librgw.so*"),
            *("*/libradosgw.so*", "*/librgw_*.so*"),
        ),
    ),
    Component(
        "osd",
        (
            *("*bin/ceph-osd", "*bin/ceph-osd-*", "*bin/crimson-osd", "*bin/crimson-objectstore-tool"),
            *("*bin/ceph-objectstore-tool", "*bin/ceph-bluestore-tool", "*bin/ceph-kvstore-tool"),
            *(
                "*bin/ceph-osdomap-tool",
                "*bin/osdmaptool",
                "*bin/ceph-clsinfo",
                "*bin/ceph-erasure-code-tool",
            ),
            *("*/ceph-osd-prestart.sh", "*/libos_tp.so*", "*/libosd_tp.so*"),
        ),
    ),
    Component(
        "common",
        (
            *("*/libceph-common.so*", "*/librados.so*", "*/librados_tp.so*", "*/libradosstriper.so*"),
            *("*/libcephsqlite.so*", "*bin/ceph", "*bin/rados", "*bin/librados-config", "*bin/ceph-authtool"),
            *("*bin/ceph-conf", "*bin/ceph-crash", "*bin/ceph-create-keys", "*bin/ceph-dencoder"),
            *("*bin/ceph-exporter", "*bin/ceph-post-file", "*bin/ceph-run", "*/ceph_common.sh"),
        ),
    ),
)


def parse(text: str) -> tuple[Component, ...]:
    """Components of one's own, written `NAME=GLOB,GLOB NAME=GLOB`; raises ValueError."""
    own: list[Component] = []
    for word in text.split():
        name, _, globs = word.partition("=")
        paths = tuple(glob.lstrip("/") for glob in globs.split(","))
        if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", name) or not all(paths):
            raise ValueError(f"{word} is not written NAME=GLOB,GLOB, the name in small letters")
        if name == REST or any(name == other.name for other in own):
            raise ValueError(f"{word} names the component {name} a second time")
        own.append(Component(name, paths))
    return tuple(own)


def extend(table: Sequence[Component], own: Sequence[Component]) -> tuple[Component, ...]:
    """A table with components of one's own: known ones get more globs, new ones come on top."""
    more = {component.name: component.globs for component in own}
    known = {component.name for component in table}
    return (
        *(Component(item.name, item.globs + more.get(item.name, ())) for item in table),
        *(component for component in own if component.name not in known),
    )


def name_of(table: Sequence[Component], rank: int) -> str:
    """The name of the component of that rank; what no glob matches is `rest`, and on top of all."""
    return table[rank].name if rank < len(table) else REST


def ranking(table: Sequence[Component]) -> Callable[[str], int]:
    """A function that gives a path's component, as its place in the table."""
    patterns = [re.compile("|".join(map(translate, component.globs))) for component in table]
    from_top = tuple(reversed(tuple(enumerate(patterns))))

    def rank(path: str) -> int:
        return next((number for number, pattern in from_top if pattern.match(path)), len(table))

    return rank
