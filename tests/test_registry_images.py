"""Images: what names mean in real registries, whoever pushed them, and what is told of anything else."""

import io
import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from cephtasks import layer, oci
from cephtasks.engine import Engine
from cephtasks.errors import (
    BlobDamaged,
    CephtasksError,
    ImageNotInRegistry,
    NotARegistry,
    RegistryUnauthorized,
    RegistryUnreachable,
)
from cephtasks.oci import DOCKER_INDEX, DOCKER_MANIFEST, OCI_INDEX, Image, digest_of, encode
from cephtasks.reference import Reference, parse
from cephtasks.registry import Client, download, push, read
from cephtasks.store import Store
from lab.engines import Node, node
from lab.images import packed
from lab.indexes import put_index
from lab.registries import registry as started_registry
from lab.tokens import token_service
from lab.webs import Answer, Cut, Deed, Request, answering, between

_NOON = "2024-05-06T07:08:09Z"


@pytest.fixture
def target(registry: str, request: pytest.FixtureRequest) -> Reference:
    """A tag of this test alone."""
    return parse(f"{registry}/images/{digest_of(request.node.name.encode())[7:19]}:1")


@pytest.fixture
def pushed(target: Reference, tmp_path: Path) -> Image:
    """An image that is in the registry, as the target."""
    store = Store(tmp_path / "pushed")
    image = packed(store, "pushed", [{"a": str(target).encode()}, {"b": b"b"}])
    with Client(target.registry) as client:
        push(client, target, image, store.open)
    return image


def _read(reference: Reference, host: str = "") -> Image:
    with Client(host or reference.registry) as client:
        return read(client, reference)


def _failure(respond: Callable[[Request], Deed], digest: str = "") -> CephtasksError:
    """What is told of a registry that answers so, and asks no more than for a look."""
    with answering(lambda request: Answer() if request.path == "/v2/" else respond(request)) as web:
        reference = parse(f"{web.host}/a/b:1")
        with pytest.raises(CephtasksError) as caught:
            _read(reference.with_digest(digest) if digest else reference)
    assert [line.partition(":")[0] for line in str(caught.value).splitlines()] == ["error", "hint"]
    return caught.value


def test_an_image_is_read_as_it_was_pushed(target: Reference, pushed: Image) -> None:
    """Byte for byte, by tag and by digest."""
    assert _read(target) == pushed
    assert _read(target.with_digest(pushed.digest)) == pushed


def test_no_layer_is_fetched(target: Reference, pushed: Image) -> None:
    """Only the manifest and the config are."""
    with between(target.registry, lambda _: None) as web:
        assert _read(target, web.host) == pushed
        asked = [request.path.rpartition("/")[2] for request in web.seen]
    assert asked == ["", "1", pushed.config_blob.digest]


def test_an_image_of_docker(engine: Engine, tiny: str, target: Reference) -> None:
    """`docker push` gives it Docker's own media types."""
    image = _read(_pushed_by_docker(tiny, target))
    assert image.media_type == DOCKER_MANIFEST
    assert image.id == engine.require_image(tiny, "").id
    assert {item.blob.media_type for item in image.layers} == {
        "application/vnd.docker.image.rootfs.diff.tar.gzip"
    }


@pytest.fixture
def other_engine(tmp_path: Path) -> Iterator[Node]:
    """An engine as a node of a cluster has it."""
    with node(tmp_path / "node") as started:
        yield started


def test_a_layer_of_ours_on_an_image_of_docker(
    tiny: str, target: Reference, tmp_path: Path, other_engine: Node
) -> None:
    """It makes an OCI image, with layers of OCI's types, that an engine runs; the base never comes here."""
    base, store = _read(_pushed_by_docker(tiny, target)), Store(tmp_path / "store")
    top = packed(store, "top", [{"top": b"of ours"}]).layers[0]
    image = oci.append(base, [oci.Appended(top, "top", _NOON)], _NOON, {})
    store.put(image.config)
    ours = parse(f"{target.name}/ours:1")
    with Client(target.registry) as client:
        mounted = {item.blob.digest: target.repository for item in base.layers}
        push(client, ours, image, store.open, mount_from=mounted)
    document = json.loads(_read(ours).manifest)
    assert {document["mediaType"], document["config"]["mediaType"]} == {oci.OCI_MANIFEST, oci.OCI_CONFIG}
    assert {item["mediaType"] for item in document["layers"]} == {oci.OCI_LAYER_GZIP}
    assert other_engine.docker("run", "--rm", "--network=none", str(ours), "cat", "/top").stdout == "of ours"


def test_a_layer_of_docker_has_the_files_that_it_tells(tiny: str, target: Reference) -> None:
    """Downloaded, it is what its diff id promises."""
    image = _read(_pushed_by_docker(tiny, target))
    sink = io.BytesIO()
    with Client(target.registry) as client:
        download(client, target.repository, image.layers[0].blob, sink)
    sink.seek(0)
    assert "bin/busybox" in {entry.path for entry in layer.entries(image.layers[0], sink)}


def _pushed_by_docker(name: str, target: Reference) -> Reference:
    subprocess.run(["docker", "tag", name, str(target)], check=True)
    try:
        subprocess.run(["docker", "push", str(target)], check=True, capture_output=True)
    finally:
        subprocess.run(["docker", "rmi", str(target)], check=True, capture_output=True)
    return target


def _this_machine() -> str:
    """What Docker calls it."""
    command = ["docker", "version", "--format", "{{.Server.Arch}}"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.parametrize("kind", [OCI_INDEX, DOCKER_INDEX])
def test_of_several_images_that_for_this_machine(target: Reference, tmp_path: Path, kind: str) -> None:
    """On Linux; what is for no machine is no image."""
    here = _this_machine()
    platforms: list[dict[str, str] | None] = [
        {"os": "windows", "architecture": here},
        {"os": "unknown", "architecture": "unknown"},
        {"os": "linux", "architecture": "mips64le"},
        {"os": "linux", "architecture": here, "variant": "any"},
        {"os": "linux", "architecture": here},
    ]
    images = put_index(target, tmp_path, kind, platforms)
    assert _read(target) == images[3]


def test_no_image_for_this_machine(target: Reference, tmp_path: Path) -> None:
    """The error names the machine, and the hint shows for which there are images."""
    put_index(target, tmp_path, DOCKER_INDEX, [{"os": "linux", "architecture": "mips64le"}])
    with pytest.raises(ImageNotInRegistry) as caught:
        _read(target)
    assert caught.value.fact == f"{target} has no image for linux/{_this_machine()}"
    assert caught.value.hint == f"skopeo inspect --raw docker://{target}"


@pytest.mark.parametrize("item", [None, 5, {}, {"platform": None}, {"digest": "sha256:../.."}, "linux"])
def test_an_index_with_odd_entries(item: Any) -> None:
    """They are for no machine."""
    platform = {"os": "linux", "architecture": _this_machine()}
    odd = {"platform": platform, **item} if isinstance(item, dict) and "digest" in item else item
    error = _failure(lambda _: Answer(body=json.dumps({"manifests": [odd]}).encode()))
    assert type(error) is ImageNotInRegistry


def test_an_image_that_is_not_there(registry: str, target: Reference, pushed: Image) -> None:
    """Be it the tag, the digest or the repository; the hint shows what there is."""
    for reference in (
        parse(f"{registry}/no/such:tag"),
        parse(f"{target.name}:no-such-tag"),
        target.with_digest(f"sha256:{'0' * 64}"),
    ):
        with pytest.raises(ImageNotInRegistry) as caught:
            _read(reference)
        assert caught.value.fact == f"{reference} is not in {registry}"
        assert (caught.value.hint, caught.value.exit_code) == ("invoke catalog", 1)


def test_an_image_of_schema_1() -> None:
    """It is called old, and the hint says how to make it new."""
    document = {"schemaVersion": 1, "name": "a/b", "tag": "1", "fsLayers": [], "history": []}
    error = _failure(lambda _: Answer(body=json.dumps(document).encode()))
    assert type(error) is ImageNotInRegistry
    assert error.fact.endswith("/a/b:1 is an image of the old schema 1")
    assert error.hint.startswith("skopeo copy --format v2s2 docker://")


_CONFIG: Mapping[str, Any] = {"config": {}, "rootfs": {"type": "layers", "diff_ids": [f"sha256:{'a' * 64}"]}}
_LAYER = {"mediaType": oci.OCI_LAYER_GZIP, "digest": f"sha256:{'b' * 64}", "size": 1}


def _with_config(raw: bytes, /, **manifest: Any) -> Callable[[Request], Answer]:
    """A registry with one image, whose manifest may say something else."""
    described = {"mediaType": oci.OCI_CONFIG, "digest": digest_of(raw), "size": len(raw)}
    document = encode({"schemaVersion": 2, "config": described, "layers": [_LAYER], **manifest})
    return lambda request: Answer(body=document if "/manifests/" in request.path else raw)


def test_a_config_that_says_little() -> None:
    """It is enough for an image."""
    with answering(_with_config(encode({**_CONFIG, "config": None}))) as web:
        image = _read(parse(f"{web.host}/a/b:1"))
    assert (len(image.layers), dict(image.labels)) == (1, {})


@pytest.mark.parametrize(
    "respond",
    [
        lambda _: Answer(body=b"{}"),
        _with_config(encode(_CONFIG), config=None),
        _with_config(encode(_CONFIG), config={"digest": "sha256:../../passwd", "size": 1, "mediaType": ""}),
        _with_config(encode(_CONFIG), config="config"),
        _with_config(encode(_CONFIG), layers=None),
        _with_config(encode(_CONFIG), layers=[]),
        _with_config(encode(_CONFIG), layers=[5]),
        _with_config(encode(_CONFIG), layers=[{**_LAYER, "digest": "../../etc/passwd"}]),
        _with_config(encode(_CONFIG), layers=[{**_LAYER, "size": float("inf")}]),
        _with_config(b""),
        _with_config(b"chart"),
        _with_config(b"{}"),
        _with_config(b"[1]"),
        _with_config(b"[" * 100_000),
        _with_config(encode({"rootfs": None})),
        _with_config(encode({"rootfs": {"diff_ids": None}})),
        _with_config(encode({"rootfs": {"diff_ids": ["../../etc/passwd"]}})),
        _with_config(encode({"rootfs": {"diff_ids": [5]}})),
        _with_config(encode({**_CONFIG, "config": "config"})),
    ],
)
def test_what_is_no_image(respond: Callable[[Request], Answer]) -> None:
    """Registries keep other things in the same way."""
    error = _failure(respond)
    assert type(error) is ImageNotInRegistry
    assert error.fact.endswith("/a/b:1 is something else than an image")


@pytest.mark.parametrize("body", [b"", b"<html>", b"\xff", b"5", b"[" * 100_000])
def test_what_is_no_manifest(body: bytes) -> None:
    """Whoever sends that is no registry."""
    assert type(_failure(lambda _: Answer(body=body))) is NotARegistry


def test_another_manifest_than_was_named(pushed: Image) -> None:
    """By its digest, or by what the registry itself tells of the tag."""
    other = f"sha256:{'0' * 64}"
    error = _failure(lambda _: Answer(body=pushed.manifest), digest=other)
    assert type(error) is BlobDamaged
    assert error.fact.endswith(f" sends another manifest for {parse(error.fact.rpartition(' ')[2])}")
    told = Answer(headers={"Docker-Content-Digest": other}, body=pushed.manifest)
    assert type(_failure(lambda _: told)) is BlobDamaged


def test_a_digest_of_another_kind_is_not_held_against_the_manifest(target: Reference, pushed: Image) -> None:
    """We could not compute it."""

    def other(answer: Answer) -> Answer:
        return Answer(answer.status, {**answer.headers, "Docker-Content-Digest": "sha512:1"}, answer.body)

    with between(target.registry, lambda request: other if "/manifests/" in request.path else None) as web:
        assert _read(target, web.host) == pushed


def test_a_config_with_other_bytes(target: Reference, pushed: Image) -> None:
    """It is told, not used."""
    wrong = Answer(body=pushed.config[::-1])
    told = f"sends other bytes for blob {pushed.config_blob.digest}"
    with (
        between(target.registry, lambda request: wrong if "/blobs/" in request.path else None) as web,
        pytest.raises(BlobDamaged, match=told),
    ):
        _read(target, web.host)


@pytest.mark.parametrize("part", ["/manifests/", "/blobs/"])
@pytest.mark.parametrize("deed", [Cut(), Answer(503), Answer(body=b"12345", cut=3)])
def test_a_failure_that_passes(target: Reference, pushed: Image, part: str, deed: Deed) -> None:
    """It is asked again."""
    todo = [deed]
    with between(
        target.registry, lambda request: todo.pop() if todo and part in request.path else None
    ) as web:
        assert _read(target, web.host) == pushed
    assert todo == []


def test_nothing_listens() -> None:
    """That is told at once."""
    with pytest.raises(RegistryUnreachable):
        _read(parse("localhost:1/a/b:1"))


def test_whoever_may_only_pull_reads(tmp_path: Path) -> None:
    """Nothing more is asked of a token service; without that the error says who was not let in."""
    store = Store(tmp_path / "store")
    image = packed(store, "image", [{"a": b"a"}])
    may_push = [True]

    def allows(login: str, scope: str) -> bool:
        return bool(login) and (may_push[0] or scope.endswith(":pull"))

    with (
        token_service(tmp_path / "tokens", allows) as service,
        started_registry(tmp_path / "registry", tokens=service.tokens) as lab,
    ):
        reference = parse(f"{lab.host}/a/b:1")
        with Client(lab.host, credentials=lambda _: ("ann", "secret")) as client:
            push(client, reference, image, store.open)
        may_push[0] = False
        with Client(lab.host, credentials=lambda _: ("ann", "secret")) as client:
            assert read(client, reference) == image
        with pytest.raises(RegistryUnauthorized) as caught:
            _read(reference)
    assert caught.value.fact == f"{lab.host} allows no access to {reference} without a login"
