# Run a Ceph of one node: monitor, manager, one OSD on a file, a metadata server and its file system.
# For any POSIX shell, on Ceph 14 or later.
#
# MON_IP is the address of all daemons. /var/lib/ceph keeps the data: a later run goes on with it, and one that was cut
# short while the cluster was made begins anew. /etc/ceph gets what clients need. It ends with the monitor, or
# when told to; then the daemons end first, so that nothing has to be recovered the next time.

set -eu
data=/var/lib/ceph
keyring=$data/keyring
mds='' osd='' mgr='' mon=''

finish() {
    trap '' TERM INT
    # A metadata server has all in its journal, and takes five seconds to say good-bye.
    [ -z "$mds" ] || kill -KILL "$mds" || :
    # shellcheck disable=SC2086 # what has not started yet is no word
    kill $osd $mgr 2>/dev/null || :
    for pid in $mds $osd $mgr; do wait "$pid" || :; done
    kill $mon 2>/dev/null || :
    wait $mon || :
    exit "$1"
}
trap 'finish 0' TERM INT

if [ -e /etc/ceph/ceph.conf ] && [ ! -e /etc/ceph/made-by-cephtasks ]; then
    echo "the folder for ceph.conf has that of another cluster: CEPH_CONFIG_DIR=FOLDER in .env" >&2
    exit 1
fi
touch /etc/ceph/made-by-cephtasks
mkdir -p $data/mon/ceph-a $data/mgr/ceph-a $data/osd/ceph-0 $data/mds/ceph-a /var/run/ceph
if [ ! -e $data/whole ]; then
    rm -rf $data/mon/ceph-a/* $data/osd/ceph-0/*
    uuidgen >$data/fsid
fi
monitors="[v2:$MON_IP:3300,v1:$MON_IP:6789]"
cat >/etc/ceph/ceph.conf <<EOF
[global]
fsid = $(cat $data/fsid)
mon host = $monitors
public addr = $MON_IP
cluster addr = $MON_IP
public network = $CEPH_NETWORK
log to file = false
log to stderr = true
mon cluster log to file = false
debug rocksdb = 1/5
osd crush chooseleaf type = 0
osd pool default size = 1
osd pool default pg num = 8
mon allow pool size one = true
mon warn on pool no redundancy = false
auth allow insecure global id reclaim = false
mon data avail warn = 5
bluestore block size = 10737418240
osd memory target = 939524096
EOF

if [ ! -e $data/whole ]; then
    ceph-authtool --create-keyring $keyring --gen-key -n mon. --cap mon 'allow *'
    ceph-authtool $keyring --gen-key -n client.admin \
        --cap mon 'allow *' --cap osd 'allow *' --cap mds 'allow *' --cap mgr 'allow *'
    monmaptool --create --clobber --fsid "$(cat $data/fsid)" --addv a "$monitors" $data/monmap
    ceph-mon --mkfs -i a --monmap $data/monmap --keyring $keyring
elif ! monmaptool --print $data/monmap | grep -qF "v2:$MON_IP:3300/"; then
    # The monitor knows itself by its address, which is another now.
    monmaptool --create --clobber --fsid "$(cat $data/fsid)" --addv a "$monitors" $data/monmap
    ceph-mon -i a --inject-monmap $data/monmap
fi
umask 077
admin=/etc/ceph/ceph.client.admin.keyring
printf '[client.admin]\n\tkey = %s\n' "$(ceph-authtool $keyring -n client.admin --print-key)" >$admin
chown "$(stat -c %u:%g /etc/ceph)" /etc/ceph/ceph.conf $admin

ceph-mon -i a -f &
mon=$!
ceph auth get-or-create mgr.a mon 'allow profile mgr' osd 'allow *' mds 'allow *' -o $data/mgr/ceph-a/keyring
ceph-mgr -i a -f &
mgr=$!
if [ ! -e $data/whole ]; then
    uuid=$(uuidgen)
    ceph osd new "$uuid"
    ceph auth get-or-create osd.0 mon 'allow profile osd' mgr 'allow profile osd' osd 'allow *' \
        -o $data/osd/ceph-0/keyring
    ceph-osd -i 0 --mkfs --osd-uuid "$uuid"
    ceph auth get-or-create mds.a mon 'allow profile mds' osd 'allow rwx' mds 'allow *' \
        -o $data/mds/ceph-a/keyring
    ceph osd pool create cephfs.metadata
    ceph osd pool create cephfs.data
    ceph fs new cephfs cephfs.metadata cephfs.data
    touch $data/whole
fi
ceph-osd -i 0 -f &
osd=$!
ceph-mds -i a -f &
mds=$!
wait $mon || finish $?
finish 0
