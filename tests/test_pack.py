"""Pack, on a real engine: a tree on a base becomes an image that runs."""

import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from cephtasks import delivery, index_cache, intake, layering, pack, settings
from cephtasks.engine import Engine
from cephtasks.errors import ImageNotFound, StoreFailed, TreeChanged, TreeInvalid
from cephtasks.settings import Settings
from cephtasks.source import Source
from cephtasks.store import Store
from lab.engines import tiny_image
from lab.places import places

_BASE_FILES = {"usr/bin/there": b"#!/bin/sh\necho there\n", "usr/lib/libkept.so": b"kept"}
_SOURCE = Source(
    Path("ceph"),
    commit="0123456789abcdef0123456789abcdef01234567",
    dirty=True,
    ref="master",
    committed="2024-05-06T05:08:09Z",
    git_url="https://example.com/ceph.git",
)


@pytest.fixture(scope="module")
def base(engine: Engine) -> Iterator[str]:
    """A usr-merged base with an entrypoint, an environment and a label."""
    name = f"cephtasks-test/base-{os.getpid()}:latest"
    changes = ('ENTRYPOINT ["/bin/sh"]', "ENV KEPT=yes", "LABEL vendor=lab")
    tiny_image(engine, name, *changes, files=_BASE_FILES, links={"lib": "usr/lib", "sbin": "usr/bin"})
    yield name
    engine.untag(name)


@pytest.fixture
def chosen(base: str, image_name: str, tmp_path: Path) -> Settings:
    """Settings with everything of the test's own."""
    return _settings(base, image_name, tmp_path / "state")


@pytest.fixture
def store(chosen: Settings) -> Store:
    """The store of these settings."""
    return Store(chosen.state_dir / "images")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """An install tree with every kind of entry."""
    return _tree(tmp_path / "tree")


def _settings(base: str, image_name: str, state: Path) -> Settings:
    flags = {
        "BASE_IMAGE": base,
        "IMAGE_NAME": f"{image_name}:packed",
        "STATE_DIR": str(state),
        "REGISTRY": "localhost:1",
    }
    return settings.load(flags, environment={})


def _tree(folder: Path) -> Path:
    for name in ("usr/bin", "lib", "sbin", "var/lib/ceph"):
        (folder / name).mkdir(parents=True)
    _script(folder / "usr/bin/rados", "echo rados")
    _script(folder / "sbin/mount.ceph", "echo mount").chmod(0o4755)
    (folder / "lib/librados.so.2.0.0").write_bytes(b"library" * 1000)
    (folder / "lib/librados.so.2").symlink_to("librados.so.2.0.0")
    (folder / "usr/bin/rados-too").hardlink_to(folder / "usr/bin/rados")
    return folder


def _script(path: Path, line: str) -> Path:
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)
    return path


def _shell(image: str, script: str) -> str:
    command = ["docker", "run", "--rm", "--network=none", image, "-c", script]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_a_packed_image_runs_what_the_tree_holds(
    chosen: Settings, engine: Engine, store: Store, tree: Path
) -> None:
    """Every kind of entry arrives, root's, where a usr-merged base has its folders, and no link breaks."""
    packed = pack.pack(chosen, places(engine, store), tree, None)
    script = (
        "rados; rados-too; mount.ceph; there; ls -ld /lib /sbin /var/lib/ceph;"
        "ls -ln /usr/lib /usr/bin/mount.ceph /usr/bin/rados; cat /usr/lib/libkept.so"
    )
    seen = _shell(packed.name, script)

    assert seen.startswith("rados\nrados\nmount\nthere\n")
    assert "/lib -> usr/lib" in seen
    assert "/sbin -> usr/bin" in seen
    assert "librados.so.2 -> librados.so.2.0.0" in seen
    assert next(line for line in seen.splitlines() if "mount.ceph" in line).split()[:4] == [
        "-rwsr-xr-x",
        "1",
        "0",
        "0",
    ]
    assert next(line for line in seen.splitlines() if line.endswith("/usr/bin/rados")).split()[1] == "2"
    assert "/var/lib/ceph" in seen
    assert seen.endswith("kept")


def test_config_is_inherited_and_labels_are_added(
    chosen: Settings, engine: Engine, store: Store, tree: Path
) -> None:
    """Entrypoint, environment and labels stay; commit, base and date of the source are told."""
    pack.pack(chosen, places(engine, store), tree, _SOURCE)
    document = store.require_image(chosen.image_name).config_document

    assert document["config"]["Entrypoint"] == ["/bin/sh"]
    assert "KEPT=yes" in document["config"]["Env"]
    assert document["created"] == _SOURCE.committed
    assert document["config"]["Labels"] == {
        "vendor": "lab",
        "org.opencontainers.image.revision": _SOURCE.commit,
        "org.opencontainers.image.source": "https://example.com/ceph.git",
        "org.opencontainers.image.base.name": chosen.base_image,
        "cephtasks.base.id": engine.require_image(chosen.base_image, "").id,
        "cephtasks.source.dirty": "true",
    }


def test_one_tree_gives_one_image_id(
    chosen: Settings, engine: Engine, store: Store, tree: Path, tmp_path: Path
) -> None:
    """Who compiled, when, and where the store lies make no difference; the engine shows the same id."""
    first = pack.pack(chosen, places(engine, store), tree, _SOURCE)
    other = _tree(tmp_path / "elsewhere" / "tree")
    for path in other.rglob("*"):
        os.chown(path, 4711, 4711, follow_symlinks=False)
        os.utime(path, (1, 1), follow_symlinks=False)
    (other / "sbin/mount.ceph").chmod(0o4755)  # chown took the setuid bit
    again = pack.pack(
        _settings(chosen.base_image, chosen.image_name.partition(":")[0], tmp_path / "second"),
        places(engine, Store(tmp_path / "second" / "images")),
        other,
        _SOURCE,
    )
    assert again.id == first.id
    assert engine.require_image(chosen.image_name, "").id == first.id


def test_what_the_base_holds_is_not_shipped(
    chosen: Settings, engine: Engine, store: Store, tree: Path
) -> None:
    """A file that is byte for byte the base's costs nothing."""
    (tree / "lib/libkept.so").write_bytes(b"kept")
    (tree / "lib/libkept.so").chmod(0o755)
    packed = pack.pack(chosen, places(engine, store), tree, None)
    paths = [entry.path for layer in packed.layers for entry in store.layer_files(layer)]
    assert "usr/lib/librados.so.2.0.0" in paths
    assert "usr/lib/libkept.so" not in paths


def test_only_new_layers_are_loaded_and_lost_names_come_back(
    chosen: Settings, engine: Engine, store: Store, tree: Path, base: str
) -> None:
    """An image that is gone from the engine, or whose name was given away, is there after the next pack."""
    packed = pack.pack(chosen, places(engine, store), tree, None)
    engine.untag(packed.name)
    assert pack.pack(chosen, places(engine, store), tree, None).layers == packed.layers
    engine.tag(base, packed.name)
    assert pack.pack(chosen, places(engine, store), tree, None).id == packed.id
    assert engine.require_image(packed.name, "").id == packed.id


def test_a_changed_file_changes_the_image(chosen: Settings, engine: Engine, store: Store, tree: Path) -> None:
    """Changes are told by content, also where size and time stay."""
    first = pack.pack(chosen, places(engine, store), tree, None)
    status = (tree / "usr/bin/rados").stat()
    (tree / "usr/bin/rados").write_text("#!/bin/sh\necho RADOS\n")
    os.utime(tree / "usr/bin/rados", ns=(status.st_atime_ns, status.st_mtime_ns))
    second = pack.pack(chosen, places(engine, store), tree, None)
    assert second.id != first.id
    assert _shell(second.name, "rados") == "RADOS\n"


def test_an_unknown_base_is_told_with_the_way_to_get_it(chosen: Settings, engine: Engine, tree: Path) -> None:
    """Nothing is written where the base is missing."""
    unknown = settings.load(
        {"BASE_IMAGE": "cephtasks-test/unknown:1", "STATE_DIR": str(chosen.state_dir)}, environment={}
    )
    with pytest.raises(ImageNotFound, match="cephtasks-test/unknown:1") as failed:
        pack.pack(unknown, places(engine, Store(chosen.state_dir / "images")), tree, None)
    assert failed.value.hint == "invoke fetch-base"
    assert not chosen.state_dir.exists()


def test_a_tree_that_no_image_can_carry_is_refused(
    chosen: Settings, engine: Engine, store: Store, tree: Path, tmp_path: Path
) -> None:
    """Missing, empty, with a pipe in it: one line each, and no image."""
    (tmp_path / "empty" / "usr").mkdir(parents=True)
    os.mkfifo(tree / "pipe")
    for folder in (tmp_path / "missing", tmp_path / "empty", tree):
        with pytest.raises(TreeInvalid, match=str(folder)):
            pack.pack(chosen, places(engine, store), folder, None)
    assert store.image(chosen.image_name) is None
    assert engine.image(chosen.image_name) is None


def test_two_files_on_one_path_of_the_base_are_refused(
    chosen: Settings, engine: Engine, store: Store, tree: Path
) -> None:
    """Where `lib` is `usr/lib`, a tree with both must not have two contents for one file."""
    (tree / "usr/lib").mkdir()
    (tree / "usr/lib/librados.so.2.0.0").write_bytes(b"other")
    with pytest.raises(TreeInvalid, match=r"librados\.so\.2\.0\.0"):
        pack.pack(chosen, places(engine, store), tree, None)


@contextmanager
def _small_disk(folder: Path, size: str) -> Iterator[Path]:
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_leaves_nothing_half(
    base: str, image_name: str, engine: Engine, tree: Path, tmp_path: Path
) -> None:
    """The disk is named; what does fit packs at the next try."""
    with _small_disk(tmp_path / "disk", "4m") as disk:
        chosen = _settings(base, image_name, disk / "state")
        store = Store(chosen.state_dir / "images")
        (tree / "big").write_bytes(os.urandom(8 << 20))
        with pytest.raises(StoreFailed, match="full") as failed:
            pack.pack(chosen, places(engine, store), tree, None)
        assert failed.value.hint.startswith("df -h")
        assert list((chosen.state_dir / "images" / "ingest").iterdir()) == []

        (tree / "big").unlink()
        assert _shell(pack.pack(chosen, places(engine, store), tree, None).name, "rados") == "rados\n"


def test_an_image_of_the_engine_is_kept_once(engine: Engine, store: Store, base: str) -> None:
    """Its id stays the same in the store, its layers are read only once, and damage is mended."""
    found = engine.require_image(base, "")
    image = intake.from_engine(engine, store, found, "gzip")
    assert image.id == found.id
    blob = store.path(image.layers[0].blob.digest)
    written = blob.stat().st_mtime_ns
    assert intake.from_engine(engine, store, found, "gzip") == image
    assert blob.stat().st_mtime_ns == written

    blob.unlink()
    assert intake.from_engine(engine, store, found, "gzip") == image
    assert blob.exists()


def test_a_base_is_called_what_it_was_asked_for_by(
    chosen: Settings,
    engine: Engine,
    store: Store,
    tree: Path,
    image_name: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Whatever other names the engine knows it by."""
    for tag in ("a", "z"):
        engine.tag(chosen.base_image, f"{image_name}:{tag}")
    pack.pack(replace(chosen, base_image=f"{image_name}:z"), places(engine, store), tree, None)
    assert f"reading {image_name}:z from the engine, once\n" in capsys.readouterr().err


def test_a_dry_run_changes_nothing(chosen: Settings, tree: Path) -> None:
    """`--dry` neither writes to the store nor loads into the engine."""
    dry = Engine.connect(dry=True)
    try:
        assert pack.pack(chosen, places(dry, Store(chosen.state_dir / "images")), tree, None).id == ""
        assert dry.image(chosen.image_name) is None
    finally:
        dry.close()
    assert not chosen.state_dir.exists()


def test_a_second_name_is_known_to_engine_and_store(
    chosen: Settings, engine: Engine, store: Store, tree: Path, image_name: str
) -> None:
    """What was tagged can be pushed by that name."""
    packed = pack.pack(chosen, places(engine, store), tree, None)
    delivery.tag(store, engine, packed.name, f"{image_name}:second")
    assert engine.require_image(f"{image_name}:second", "").id == packed.id
    assert store.require_image(f"{image_name}:second").id == packed.id


def test_a_file_that_changes_meanwhile_leaves_no_image(
    chosen: Settings, engine: Engine, store: Store, tree: Path
) -> None:
    """Neither in the store nor in the engine; the next pack takes it as it is then."""
    prepared = pack.prepare(chosen, places(engine, store), tree)
    rados = tree / "usr/bin/rados"
    before = index_cache.index_folder(tree, chosen.state_dir / "cache")["usr/bin/rados"]
    rados.write_text("#!/bin/sh\necho RADOS\n")
    assert rados.stat().st_size == before.size
    with pytest.raises(TreeChanged, match="usr/bin/rados changed"):
        layering.write(places(engine, store), prepared.plan.layers, prepared.material, "gzip", "")
    assert store.image(chosen.image_name) is None
    assert engine.image(chosen.image_name) is None
    assert _shell(pack.pack(chosen, places(engine, store), tree, None).name, "rados") == "RADOS\n"


def test_two_packs_at_once_are_as_one_after_the_other(
    chosen: Settings, engine: Engine, tree: Path, tmp_path: Path
) -> None:
    """Both end well, and store and engine have the same of the two images."""
    other = _tree(tmp_path / "elsewhere" / "tree")
    _script(other / "usr/bin/rados", "echo other")

    def packing(folder: Path) -> str:
        own = Store(chosen.state_dir / "images")
        return pack.pack(chosen, places(engine, own), folder, None).id

    with ThreadPoolExecutor() as both:
        made = set(both.map(packing, (tree, other)))
    assert len(made) == 2
    named = Store(chosen.state_dir / "images").require_image(chosen.image_name)
    assert named.id in made
    assert engine.require_image(chosen.image_name, "").id == named.id
