"""Store: images on disk that are whole or not there, whatever happens."""

import contextlib
import io
import json
import os
import re
import resource
import signal
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

import pytest

from cephtasks import layer, oci
from cephtasks.errors import BlobDamaged, ImageNotPacked, StoreFailed, TreeChanged
from cephtasks.layer_index import LayerIndex
from cephtasks.oci import OCI_LAYER_GZIP, Descriptor, Image, Layer
from cephtasks.store import Store
from cephtasks.tree import Entry, Kind
from lab.disks import small_disk
from lab.layers import file, folder, tar
from lab.processes import wait_until
from lab.users import as_nobody, public_folder

ROOT = Path(__file__).parent.parent


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with nothing in it, not even its folder."""
    return Store(tmp_path / "state" / "images")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where that store is."""
    return tmp_path / "state" / "images"


def put_tar(store: Store, raw: bytes, compression: str = "gzip") -> Layer:
    """Keep a tar as a layer."""
    return store.put_layer(lambda sink: layer.compress([raw], sink, compression))


def put(store: Store, name: str, *tars: bytes) -> Image:
    """Keep an image of these layers under a name."""
    layers = [put_tar(store, raw) for raw in tars]
    config = oci.encode({"rootfs": {"type": "layers", "diff_ids": [item.diff_id for item in layers]}})
    image = oci.image(config, layers)
    store.put_image(image, name)
    return image


def leftovers(place: Path) -> list[Path]:
    """Unfinished files."""
    return list((place / "ingest").iterdir())


# --- what is kept


def test_an_image_is_found_by_its_name(store: Store, place: Path) -> None:
    """Also by another process, tomorrow."""
    image = put(store, "ceph-heads/x:latest", tar(file("a")), tar(file("b")))
    for each in (store, Store(place)):
        assert each.image("ceph-heads/x:latest") == image
        assert each.require_image("ceph-heads/x:latest") == image
        assert all(each.has(item.blob) for item in image.layers)
    assert leftovers(place) == []


def test_an_unknown_name_is_told(store: Store) -> None:
    """What was never packed is no error to ask for, and one to need."""
    assert store.image("ceph:latest") is None
    with pytest.raises(ImageNotPacked) as caught:
        store.require_image("ceph:latest")
    assert caught.value.fact == "ceph:latest has not been packed"


def test_a_name_moves_to_its_new_image(store: Store, place: Path) -> None:
    """Each name has one image; others keep theirs, and one image may have many names."""
    first, other = put(store, "a:1", tar(file("a"))), put(store, "b:1", tar(file("b")))
    second = put(store, "a:1", tar(file("c")))
    store.put_image(second, "c:1")
    assert (store.image("a:1"), store.image("b:1"), store.image("c:1")) == (second, other, second)
    assert first != second
    assert len(json.loads((place / "index.json").read_bytes())["manifests"]) == 3


def test_what_the_engine_is_to_get_is_noted_until_it_has_it(store: Store, place: Path) -> None:
    """A name that has gone to another image is not taken for that; a broken note is as none."""
    first, second = put(store, "a:1", tar(file("a"))), put(store, "b:1", tar(file("b")))
    assert not store.is_awaited("a:1")
    store.put_image(first, "a:1", awaited=True)
    store.put_image(second, "a:1", awaited=True)
    store.arrived(first, "a:1")
    assert Store(place).is_awaited("a:1")
    assert not store.is_awaited("b:1")
    store.arrived(second, "a:1")
    assert not Store(place).is_awaited("a:1")
    store.put_image(first, "a:1", awaited=True)
    store.put_image(second, "a:1")
    assert not store.is_awaited("a:1")
    store.put_image(first, "a:1", awaited=True)
    (place / "awaited.json").write_text("{")
    assert not store.is_awaited("a:1")
    assert not store.is_awaited("c:1")


def test_the_folder_is_an_oci_image_layout(store: Store, place: Path) -> None:
    """skopeo reads it: the same digest under the same name."""
    image = put(store, "x:latest", tar(file("a")))
    done = subprocess.run(
        ["skopeo", "inspect", "--raw", f"oci:{place}:x:latest"], check=True, capture_output=True
    )
    assert oci.digest_of(done.stdout) == image.digest


def test_blobs_are_as_public_as_other_files(store: Store) -> None:
    """Whoever shares STATE_DIR can read what lies in it: the umask decides, as for every file."""
    digest = store.put(b"{}")
    mask = os.umask(0)
    os.umask(mask)
    assert store.path(digest).stat().st_mode & 0o777 == 0o666 & ~mask


def test_the_same_bytes_are_kept_once(store: Store) -> None:
    """A blob that is there is not written again."""
    digest = store.put(b"content")
    before = store.path(digest).stat()
    assert store.put(b"content") == digest
    assert store.path(digest).stat().st_mtime_ns == before.st_mtime_ns
    with store.open(digest) as blob:
        assert blob.read() == b"content"


def test_files_of_an_image_are_known(store: Store) -> None:
    """The stack of its layers, as a container sees it."""
    image = put(
        store,
        "x:1",
        tar(folder("d"), file("d/a", b"1"), file("d/b")),
        tar(folder("d"), file("d/.wh.b"), file("c")),
    )
    assert set(store.files(image)) == {"d", "d/a", "c"}


def test_the_files_of_a_layer_are_read_once(store: Store) -> None:
    """Later they are known without the blob, names that are no text among them."""
    odd = os.fsdecode(b"odd\xff")
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", encoding="utf-8", errors="surrogateescape") as made:
        made.addfile(tarfile.TarInfo(odd))
    image = put(store, "x:1", content.getvalue())
    before = store.layer_files(image.layers[0])
    store.path(image.layers[0].blob.digest).unlink()
    assert store.layer_files(image.layers[0]) == before
    assert [entry.path for entry in before] == [odd]


def test_files_that_were_given_are_believed(store: Store) -> None:
    """Who writes a layer knows its files, and need not have them read again."""
    image = put(store, "x:1", tar(file("a")))
    entries = (Entry("b", Kind.FILE, 0o644, 1, "f" * 64), Entry("gone", Kind.WHITEOUT))
    store.put_layer_index(image.layers[0].diff_id, LayerIndex("osd", entries))
    assert store.layer_files(image.layers[0]) == entries


def test_what_is_derived_is_made_once(store: Store) -> None:
    """A file beside the indexes, written by who needs it first."""

    def write(sink: IO[bytes]) -> None:
        sink.write(b"derived")

    assert store.derived("x.zip", write).read_bytes() == b"derived"
    assert store.derived("x.zip", lambda _: pytest.fail("written twice")).read_bytes() == b"derived"


# --- what was damaged


def damage(path: Path, how: str) -> None:
    """Do to a file what disks and people do."""
    match how:
        case "missing":
            path.unlink()
        case "truncated":
            os.truncate(path, path.stat().st_size // 2)
        case "emptied":
            os.truncate(path, 0)
        case "altered":
            raw = path.read_bytes()
            path.write_bytes(raw[:20] + bytes([raw[20] ^ 1]) + raw[21:])


@pytest.mark.parametrize("how", ["missing", "truncated", "emptied", "altered"])
@pytest.mark.parametrize("which", ["manifest", "config"])
def test_a_damaged_document_is_told(store: Store, place: Path, which: str, how: str) -> None:
    """An image whose manifest or config is not what its digest promises is never used."""
    image = put(store, "x:1", tar(file("a")))
    damage(store.path(image.digest if which == "manifest" else image.id), how)
    with pytest.raises(BlobDamaged) as caught:
        store.image("x:1")
    assert (image.digest if which == "manifest" else image.id) in caught.value.fact
    assert caught.value.hint == f"rm -r {place}; invoke pack"


@pytest.mark.parametrize("how", ["missing", "truncated", "emptied"])
def test_a_damaged_layer_is_noticed(store: Store, how: str) -> None:
    """It counts as not there, no image can be named that needs it, and writing it again mends it."""
    raw = tar(file("a", os.urandom(2000)))
    image = put(store, "x:1", raw)
    damage(store.path(image.layers[0].blob.digest), how)
    assert not store.has(image.layers[0].blob)
    with pytest.raises(BlobDamaged, match=image.layers[0].blob.digest):
        store.put_image(image, "y:1")
    assert store.image("y:1") is None
    assert put(store, "x:1", raw) == image
    assert store.has(image.layers[0].blob)


@pytest.mark.parametrize("how", ["missing", "truncated", "emptied", "altered"])
@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_a_damaged_layer_is_never_indexed(store: Store, place: Path, compression: str, how: str) -> None:
    """Half of a layer's files are not taken for all of them."""
    raw = tar(*(file(f"file{number}", os.urandom(1500)) for number in range(40)))
    made = put_tar(store, raw, compression)
    damage(store.path(made.blob.digest), how)
    with pytest.raises(BlobDamaged) as caught:
        store.layer_files(made)
    assert made.blob.digest in caught.value.fact
    assert caught.value.hint == f"rm -r {place}; invoke pack"


def test_a_blob_of_another_layer_is_never_indexed(store: Store) -> None:
    """The files are those of the tar that the diff id names, or none."""
    one, two = put_tar(store, tar(file("a"))), put_tar(store, tar(file("b")))
    with pytest.raises(BlobDamaged):
        store.layer_files(Layer(one.blob, two.diff_id))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[",
        b"{}",
        b"[1]",
        b'{"component":""}\n[["a","file"]]\n',
        b'{"component":"","entries":1}\n',
        b'{"component":"","entries":1}\n[["a","no kind"]]\n',
        b'{"component":"","entries":1}\n[7]\n',
        b"\xff",
    ],
)
def test_a_damaged_index_of_files_is_made_again(store: Store, place: Path, content: bytes) -> None:
    """It follows from the blob, so nobody needs to be bothered."""
    image = put(store, "x:1", tar(file("a")))
    before = store.layer_files(image.layers[0])
    (path,) = (place / "indexes").iterdir()
    kept = path.read_bytes()
    path.write_bytes(content)
    assert store.layer_files(image.layers[0]) == before
    assert path.read_bytes() == kept


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"manifests": null}',
        b'{"manifests": [{}]}',
        b'{"manifests": [{"mediaType": "x", "digest": "sha256:../../x", "size": 1}]}',
        b"\xff\xfe",
    ],
)
def test_a_damaged_index_is_told(store: Store, place: Path, content: bytes) -> None:
    """Which names there were cannot be made again: what to do is said in one line."""
    put(store, "x:1", tar(file("a")))
    (place / "index.json").write_bytes(content)
    uses: tuple[Callable[[], object], ...] = (
        lambda: store.image("x:1"),
        lambda: put(store, "y:1", tar(file("b"))),
    )
    for use in uses:
        with pytest.raises(StoreFailed) as caught:
            use()
        assert caught.value.fact.startswith(f"{place / 'index.json'} is damaged")
        assert "\n" not in caught.value.fact
        assert caught.value.hint == f"rm -r {place}; invoke pack"


def test_a_config_that_is_not_the_manifests_is_refused(store: Store) -> None:
    """An image is put together of parts that name each other."""
    made = put_tar(store, tar(file("a")))
    image = oci.image(oci.encode({"rootfs": {"diff_ids": [made.diff_id]}}), [made])
    other = Image(image.manifest, oci.encode({"rootfs": {"diff_ids": [made.diff_id]}, "x": 1}))
    with pytest.raises(BlobDamaged, match=image.id):
        store.put_image(other, "x:1")


# --- what fails while it is written


def test_a_writer_that_fails_leaves_nothing(store: Store, place: Path) -> None:
    """Its error is passed on as it is, and no part of its blob is kept."""

    def write(sink: IO[bytes]) -> Layer:
        sink.write(b"half")
        raise TreeChanged("a file changed", "invoke pack")

    with pytest.raises(TreeChanged):
        store.put_layer(write)
    assert leftovers(place) == []
    assert list((place / "blobs" / "sha256").iterdir()) == []


def test_an_error_of_somebody_else_is_not_the_stores(store: Store) -> None:
    """A file of the tree that cannot be read is not blamed on the store."""

    def write(sink: IO[bytes]) -> Layer:
        return Path("/nonexistent/file").open("rb")  # type: ignore[return-value]

    with pytest.raises(FileNotFoundError):
        store.put_layer(write)


def test_a_full_disk_is_told_and_the_next_run_works(tmp_path: Path) -> None:
    """One line says so; nothing half is left, what was there stays, and with room it goes on."""
    disk = tmp_path / "disk"
    with small_disk(disk, "1m"):
        store = Store(disk / "images")
        image = put(store, "x:1", tar(file("a")))
        (disk / "ballast").write_bytes(bytes(300_000))
        big = tar(file("big", os.urandom(900_000)))
        with pytest.raises(StoreFailed) as caught:
            put(store, "x:1", big)
        assert caught.value.fact == f"the disk that holds {disk / 'images'} is full"
        assert caught.value.hint == f"df -h {disk / 'images'}"
        assert leftovers(disk / "images") == []
        assert store.image("x:1") == image
        (disk / "ballast").unlink()
        put(store, "x:1", tar(file("big", os.urandom(500_000))))


def test_a_full_disk_is_told_for_small_files_too(tmp_path: Path) -> None:
    """Whatever is written last: a document, an index, the list of names."""
    disk = tmp_path / "disk"
    with small_disk(disk, "1m"):
        store = Store(disk / "images")
        image = put(store, "x:1", tar(file("a")))
        with (disk / "ballast").open("wb", buffering=0) as ballast, contextlib.suppress(OSError):
            while True:
                ballast.write(bytes(4096))

        def five_thousand_bytes(sink: IO[bytes]) -> None:
            sink.write(bytes(5000))

        attempts: tuple[Callable[[], object], ...] = (
            lambda: store.put(os.urandom(5000)),
            lambda: store.put_image(image, "y:1"),
            lambda: store.put_layer_index(
                image.layers[0].diff_id, LayerIndex("", (Entry("a" * 5000, Kind.FILE),))
            ),
            lambda: store.derived("x", five_thousand_bytes),
        )
        for attempt in attempts:
            with pytest.raises(StoreFailed, match="is full"):
                attempt()
        assert store.image("x:1") == image
        assert store.image("y:1") is None


def test_a_limit_on_file_sizes_is_told(store: Store, place: Path) -> None:
    """`ulimit -f` is the store's trouble, not a traceback."""
    put(store, "x:1", tar(file("a")))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(StoreFailed, match="File too large"):
            put(store, "x:1", tar(file("big", os.urandom(200_000))))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert leftovers(place) == []


@pytest.mark.parametrize("relative", [True, False])
def test_a_folder_that_may_not_be_written_is_told(monkeypatch: pytest.MonkeyPatch, relative: bool) -> None:
    """Reading goes on; writing says what is closed, however the folder was named."""
    with public_folder() as public:
        monkeypatch.chdir(public)
        place = Path("images") if relative else public / "images"
        image = put(Store(place), "x:1", tar(file("a")))
        with as_nobody():
            assert Store(place).image("x:1") == image
            with pytest.raises(StoreFailed, match="Permission denied") as caught:
                put(Store(place), "x:1", tar(file("b")))
            assert str(place) in caught.value.fact
            assert caught.value.hint == f"ls -ld {place}"
        for part in (place, *place.rglob("*")):
            os.chown(part, 65534, 65534)
        (place / "ingest").chmod(0o500)
        with as_nobody(), pytest.raises(StoreFailed, match="Permission denied"):
            put(Store(place), "x:1", tar(file("b")))
        (place / "ingest").chmod(0o700)
        monkeypatch.chdir("/")


def test_a_file_in_place_of_the_folder_is_told(tmp_path: Path) -> None:
    """STATE_DIR that is no folder ends in one line, for readers and writers."""
    (tmp_path / "state").write_text("")
    store = Store(tmp_path / "state" / "images")
    blob = Descriptor(OCI_LAYER_GZIP, oci.digest_of(b"x"), 1)
    uses: tuple[Callable[[], object], ...] = (
        lambda: store.put(b"x"),
        lambda: store.image("x:1"),
        lambda: store.has(blob),
    )
    for use in uses:
        with pytest.raises(StoreFailed, match="Not a directory"):
            use()


# --- others at the same time

_WRITER = """
import os, sys, time
from pathlib import Path
from cephtasks import layer
from cephtasks.store import Store
store = Store(Path(sys.argv[1]))
def write(sink):
    sink.write(os.urandom(100_000))
    sink.flush()
    print("writing", flush=True)
    sys.stdin.readline()
    return layer.compress([b"x" * 1000], sink, "gzip")
store.put_layer(write)
print("done", flush=True)
"""


@contextlib.contextmanager
def another_writer(place: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that is in the middle of writing a layer, and goes on when it is told to."""
    with subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(place)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "writing\n"
            yield process
        finally:
            process.kill()


def test_a_run_that_was_killed_leaves_nothing_behind(store: Store, place: Path) -> None:
    """What it was writing is no blob, and the next run clears it away."""
    put(store, "x:1", tar(file("a")))
    blobs = set((place / "blobs" / "sha256").iterdir())
    with another_writer(place) as other:
        other.send_signal(signal.SIGKILL)
        other.wait()
        assert len(leftovers(place)) == 1
        assert set((place / "blobs" / "sha256").iterdir()) == blobs
    put(store, "x:1", tar(file("b")))
    assert leftovers(place) == []


def test_ctrl_c_leaves_nothing_behind(place: Path) -> None:
    """An interrupted writer clears up itself."""
    with another_writer(place) as other:
        other.send_signal(signal.SIGINT)
        assert other.wait() != 0
    assert leftovers(place) == []


def test_a_second_writer_waits_and_says_so(
    store: Store, place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Two runs take turns; the unfinished file of the first is left alone."""
    with another_writer(place) as other:
        with ThreadPoolExecutor() as pool:
            ours = pool.submit(put, store, "x:1", tar(file("a")))
            said = io.StringIO()
            wait_until(lambda: said.write(capfd.readouterr().err) > 0, "saying so")
            assert not ours.done()
            assert len(leftovers(place)) == 1
            assert other.stdin is not None
            other.stdin.write("\n")
            other.stdin.flush()
            assert other.wait(30) == 0
            image = ours.result(30)
        assert said.getvalue() == f"waiting for another cephtasks that writes to {place}\n"
    assert store.image("x:1") == image


def test_reading_does_not_wait_for_a_writer(store: Store, place: Path) -> None:
    """`check` and `status` work while a pack is under way."""
    image = put(store, "x:1", tar(file("a")))
    store.layer_files(image.layers[0])
    with another_writer(place):
        assert Store(place).image("x:1") == image
        assert Store(place).files(image).keys() == {"a"}


def test_many_threads_write_at_once(store: Store, place: Path) -> None:
    """Layers go into the store in parallel, whoever comes first; none is cleared away as a leftover."""
    for _ in range(5):
        start = threading.Barrier(8)

        def write(number: int) -> Layer:
            start.wait()  # noqa: B023 — used up before the loop goes on
            return put_tar(store, tar(file(f"f{number}", os.urandom(50_000))))

        with ThreadPoolExecutor(8) as pool:
            made = list(pool.map(write, range(8)))
        assert all(store.has(item.blob) for item in made)
    assert leftovers(place) == []
    assert re.fullmatch(r'\{"imageLayoutVersion":"1.0.0"\}', (place / "oci-layout").read_text())


def test_a_blob_that_is_elsewhere_is_fetched_when_it_is_read(place: Path) -> None:
    """An image of such layers can be named; the blob is asked for once, with where it can be had."""
    raw = tar(file("a"))
    item = Layer(Descriptor(OCI_LAYER_GZIP, oci.digest_of(raw), len(raw)), oci.digest_of(raw))
    image = oci.image(oci.encode({"rootfs": {"type": "layers", "diff_ids": [item.diff_id]}}), [item])
    asked = []

    def fetch(name: str, digest: str, size: int, sink: IO[bytes]) -> None:
        asked.append((name, digest, size))
        sink.write(raw)

    store = Store(place, fetch)
    with pytest.raises(BlobDamaged):
        store.put_image(image, "x:1")
    store.put_origin([item.blob], "registry.example:5000/ceph/base")
    store.put_image(image, "x:1")
    assert asked == []
    assert [entry.path for entry in store.layer_files(item)] == ["a"]
    with store.open(item.blob.digest) as blob:
        assert blob.read() == raw
    assert asked == [("registry.example:5000/ceph/base", item.blob.digest, len(raw))]


def test_a_fetch_that_fails_leaves_nothing_half(place: Path) -> None:
    """The blob stays elsewhere, and the next reader asks again."""
    digest = oci.digest_of(b"content")

    def fetch(name: str, digest: str, size: int, sink: IO[bytes]) -> None:
        sink.write(b"con")
        raise BlobDamaged("cut", "type the same again")

    store = Store(place, fetch)
    store.put_origin([Descriptor(OCI_LAYER_GZIP, digest, 7)], "registry.example/base")
    with pytest.raises(BlobDamaged, match="cut"):
        store.open(digest)
    assert list((place / "ingest").iterdir()) == []
    assert not store.path(digest).exists()


def test_a_tag_that_is_left_out_is_latest(store: Store) -> None:
    """As Docker has it; one image has one name."""
    image = put(store, "x", tar(file("a")))
    assert store.image("x:latest") == store.image("docker.io/library/x") == image
    assert store.image(image.id) is None
    store.put_image(image, image.id)
    assert store.image(image.id) == image
