#!/bin/sh
# smoke.sh BUILD: every tool of a build folder does a bit of its work, in a cluster of its own.
set -eu

build=$(cd "$1" && pwd)
CEPH_DATA=$(mktemp -d)
export CEPH_DATA CEPH_LIB="$build/lib" PATH="$build/bin:$PATH"
trap 'rm -rf "$CEPH_DATA"' EXIT

same() {
    [ "$1" = "$2" ] || { echo "expected: $2; got: $1" >&2; exit 1; }
}

cd "$CEPH_DATA"
ceph-mon --mkfs
head -c 500000 /dev/urandom >file
rados put object file
rados get object copy
cmp file copy
same "$(rados ls)" object
same "$(rados exec greeting hello say_hello Ceph)" "Hello, Ceph!"
rados --striper put striped file
rados --striper get striped copy
cmp file copy
rbd import disk <file
rbd export disk | cmp file -
echo hello | ceph-fuse write /a/b
same "$(ceph-fuse read /a/b)" hello
same "$(ceph-mds tree)" "/a/
/a/b"
echo page | radosgw PUT /bucket/page
same "$(radosgw GET /bucket/)" page
split --bytes=250000 file part.
ceph-osd recover parity part.aa part.ab
ceph-osd recover mended part.aa parity
cmp mended part.ab
same "$(ceph-mgr balance | wc -l)" 3
ceph status
primary=$(rados map object | head -n 1)
echo damage >>"$primary/rbd/object"
if ceph-osd scrub "${primary#osd.}"; then
    echo "damage was not found" >&2
    exit 1
fi
rados get object copy
cmp file copy
