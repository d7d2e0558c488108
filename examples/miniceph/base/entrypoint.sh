#!/bin/sh
# What the base image starts: a cluster on its first run, then the command that is given.
set -eu
[ -e "$CEPH_DATA/osdmap" ] || ceph-mon --mkfs >&2
exec "$@"
