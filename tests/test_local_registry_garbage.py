"""Registry garbage: found and removed on disk, with the registry's own collector as a witness."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from cephtasks.local_registry.garbage import Contents, Garbage, contents, find, sweep
from cephtasks.oci import DOCKER_INDEX, OCI_INDEX, Image
from cephtasks.reference import Reference, parse
from cephtasks.registry import Client, push
from cephtasks.registry.deletion import delete_manifest
from cephtasks.store import Store
from lab import registries
from lab.images import packed
from lab.indexes import put_index

AMD, ARM = {"os": "linux", "architecture": "amd64"}, {"os": "linux", "architecture": "arm64"}


def _served(folder: Path, job: Callable[[Client, str], None]) -> Path:
    """Do something with a registry that is up, and end it: the folder of its data."""
    with registries.registry(folder) as made, Client(made.host) as client:
        job(client, made.host)
    return folder / "data"


def _push(client: Client, folder: Path, reference: str, **files: bytes) -> Image:
    store = Store(folder / "store")
    image = packed(store, "image", [{name: content} for name, content in files.items()])
    push(client, parse(reference), image, store.open)
    return image


def _sizes(image: Image) -> int:
    return len(image.manifest) + len(image.config) + sum(layer.blob.size for layer in image.layers)


def _witness(folder: Path, *options: str) -> int:
    """How many blobs the registry's own collector would take."""
    command = ["docker-registry", "garbage-collect", "--dry-run", *options, str(folder / "config.yml")]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return told.count("blob eligible for deletion")


def _is_whole(folder: Path, repository: str, tag: str) -> bool:
    """Whether skopeo gets all of an image or an index."""
    with registries.registry(folder) as made:
        source = f"docker://{made.host}/{repository}:{tag}"
        command = ["skopeo", "copy", "--all", "--quiet", "--src-tls-verify=false", source]
        target = f"dir:{folder}/copy-{os.urandom(4).hex()}"
        return subprocess.run([*command, target], check=False, capture_output=True).returncode == 0


def test_what_a_deleted_image_held_goes_and_the_rest_stays(tmp_path: Path) -> None:
    """A layer that another image has too stays with it; the registry's own collector finds no more."""
    images: list[Image] = []

    def job(client: Client, host: str) -> None:
        images.append(_push(client, tmp_path, f"{host}/team/app:keep", shared=b"shared"))
        images.append(_push(client, tmp_path, f"{host}/team/app:gone", shared=b"shared", own=b"own" * 99))
        delete_manifest(client, parse(f"{host}/team/app").with_digest(images[1].digest))

    data = _served(tmp_path / "registry", job)
    keep, gone = images
    garbage = find(data, untagged=False)
    assert garbage.bytes == _sizes(gone) - gone.layers[0].blob.size
    assert (len(garbage.blobs), garbage.manifests) == (3, ())
    assert _witness(tmp_path / "registry") == 3
    assert contents(data).bytes == _sizes(keep) + garbage.bytes
    sweep(garbage)
    assert contents(data) == Contents(repositories=1, bytes=_sizes(keep))
    assert _witness(tmp_path / "registry") == 0
    assert find(data, untagged=False).blobs == ()
    assert _is_whole(tmp_path / "registry", "team/app", "keep")


def test_what_was_removed_can_be_pushed_again(tmp_path: Path) -> None:
    """Nothing of it is remembered as being there."""

    def first(client: Client, host: str) -> None:
        image = _push(client, tmp_path, f"{host}/team/app:1", a=b"a")
        delete_manifest(client, parse(f"{host}/team/app").with_digest(image.digest))

    def again(client: Client, host: str) -> None:
        _push(client, tmp_path, f"{host}/team/app:1", a=b"a")

    sweep(find(_served(tmp_path / "registry", first), untagged=False))
    _served(tmp_path / "registry", again)
    assert _is_whole(tmp_path / "registry", "team/app", "1")


def test_untagged_manifests_stay_unless_they_are_asked_for(tmp_path: Path) -> None:
    """A tag that moved leaves one, which nodes may still pull by its digest."""
    images: list[Image] = []

    def job(client: Client, host: str) -> None:
        images.extend(_push(client, tmp_path, f"{host}/app:1", a=content) for content in (b"old", b"new"))

    data = _served(tmp_path / "registry", job)
    old, new = images
    assert find(data, untagged=False).blobs == ()
    garbage = find(data, untagged=True)
    assert (garbage.bytes, len(garbage.manifests)) == (_sizes(old), 1)
    sweep(garbage)
    assert contents(data).bytes == _sizes(new)
    assert find(data, untagged=True) == Garbage((), (), 0)
    assert _is_whole(tmp_path / "registry", "app", "1")


@pytest.mark.parametrize("kind", [OCI_INDEX, DOCKER_INDEX])
def test_images_of_a_tagged_index_are_not_untagged(tmp_path: Path, kind: str) -> None:
    """Though no tag names them; the registry's own collector would take them."""

    def job(client: Client, host: str) -> None:
        put_index(parse(f"{host}/app:all"), tmp_path, kind, [AMD, ARM])

    data = _served(tmp_path / "registry", job)
    assert _witness(tmp_path / "registry", "--delete-untagged") > 0
    garbage = find(data, untagged=True)
    assert (garbage.manifests, garbage.blobs) == ((), ())
    assert _is_whole(tmp_path / "registry", "app", "all")


def test_an_untagged_index_goes_with_its_images(tmp_path: Path) -> None:
    """Unless another manifest names them."""

    def job(client: Client, host: str) -> None:
        target = parse(f"{host}/app:all")
        put_index(target, tmp_path, OCI_INDEX, [AMD, ARM])
        one = put_index(Reference(host, "app", "one"), tmp_path, OCI_INDEX, [AMD])
        assert one
        _push(client, tmp_path, f"{host}/app:all", a=b"something else")

    data = _served(tmp_path / "registry", job)
    garbage = find(data, untagged=True)
    assert len(garbage.manifests) == 2  # the index of two, and the image that only it had
    sweep(garbage)
    assert _is_whole(tmp_path / "registry", "app", "one")
    assert _is_whole(tmp_path / "registry", "app", "all")


def test_a_manifest_counts_in_each_repository_by_itself(tmp_path: Path) -> None:
    """Untagged in one, it goes there, and its blobs stay for the other."""

    def job(client: Client, host: str) -> None:
        _push(client, tmp_path, f"{host}/one:1", a=b"a")
        _push(client, tmp_path, f"{host}/two/nested:1", a=b"a")
        _push(client, tmp_path, f"{host}/one:1", a=b"b")

    data = _served(tmp_path / "registry", job)
    garbage = find(data, untagged=True)
    assert (len(garbage.manifests), garbage.blobs) == (1, ())
    sweep(garbage)
    assert _is_whole(tmp_path / "registry", "two/nested", "1")


def test_interrupted_it_goes_on(tmp_path: Path) -> None:
    """A sweep that did not come to its end leaves what is found again, and nothing broken."""

    def job(client: Client, host: str) -> None:
        for content in (b"old", b"new"):
            _push(client, tmp_path, f"{host}/app:1", a=content)

    data = _served(tmp_path / "registry", job)
    garbage = find(data, untagged=True)
    first = Garbage(garbage.manifests, garbage.blobs[:1], 0)
    sweep(first)
    left = find(data, untagged=True)
    assert set(left.blobs) == set(garbage.blobs[1:])
    sweep(left)
    assert _is_whole(tmp_path / "registry", "app", "1")


def test_a_manifest_whose_bytes_are_lost_names_nothing(tmp_path: Path) -> None:
    """Nobody can pull it."""

    def job(client: Client, host: str) -> None:
        _push(client, tmp_path, f"{host}/app:1", a=b"a")

    data = _served(tmp_path / "registry", job)
    manifest = next((data / "docker/registry/v2/repositories/app/_manifests/revisions/sha256").iterdir()).name
    (data / f"docker/registry/v2/blobs/sha256/{manifest[:2]}/{manifest}/data").unlink()
    assert len(find(data, untagged=False).blobs) == 2


def test_where_nothing_was_pushed_nothing_is(tmp_path: Path) -> None:
    """Also where there is no folder."""
    assert find(tmp_path / "none", untagged=True).blobs == ()
    assert contents(tmp_path / "none").repositories == 0
