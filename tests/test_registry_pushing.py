"""Push, to real registries: the whole image or no tag at all, and never a byte too many."""

import json
import os
import random
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from cephtasks import console, oci
from cephtasks.errors import (
    BlobDamaged,
    CephtasksError,
    NotARegistry,
    PushNotKept,
    ReferenceInvalid,
    RegistryRefused,
    RegistryUnauthorized,
    RegistryUnreachable,
)
from cephtasks.oci import Image
from cephtasks.reference import Reference, parse
from cephtasks.registry import Client, Pushed, missing, push
from cephtasks.store import Store
from lab.images import packed
from lab.processes import free_port
from lab.proxies import nginx
from lab.registries import Registry, registry
from lab.webs import Answer, Cut, Deed, Request, answering, between

_WRITES = ("POST", "PATCH", "PUT", "DELETE")
_LAYERS = ({"base": b"base"}, {"usr/lib/libone.so": b"one" * 1000}, {"usr/bin/two": b"two" * 2000})


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry of these tests alone, whose log can be read."""
    with registry(tmp_path_factory.mktemp("registry")) as started:
        yield started


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return Store(tmp_path / "store")


@pytest.fixture
def target(lab: Registry, request: pytest.FixtureRequest) -> Reference:
    """A tag of this test alone."""
    name = request.node.name.partition("[")[0].lower().replace("_", "-")
    return parse(f"{lab.host}/push/{name}:new")


def _image(store: Store, name: str, layers: Sequence[Mapping[str, bytes]] = _LAYERS) -> Image:
    """An image like no other test's: nothing of it is in any registry."""
    return packed(store, name, [{**files, "unique": name.encode()} for files in layers])


def _push(target: Reference, image: Image, store: Store, host: str = "", **options: object) -> Pushed:
    with Client(host or target.registry) as client:
        return push(client, target, image, store.open, **options)  # type: ignore[arg-type]


def _tags(target: Reference) -> list[str]:
    """What an independent witness sees."""
    command = ["skopeo", "list-tags", "--tls-verify=false", f"docker://{target.name}"]
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    return list(json.loads(done.stdout)["Tags"]) if done.returncode == 0 else []


def _copied(reference: Reference, folder: Path) -> dict[str, bytes]:
    """All files of an image as another client fetches them, by name; it checks every digest."""
    command = [
        "skopeo",
        "copy",
        "--quiet",
        "--src-tls-verify=false",
        f"docker://{reference}",
        f"dir:{folder}",
    ]
    subprocess.run(command, check=True, capture_output=True)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def _is_whole(reference: Reference, image: Image, store: Store, folder: Path) -> bool:
    """Whether another client gets this very image, byte for byte."""
    files = _copied(reference, folder)
    wanted = [image.config_blob, *(layer.blob for layer in image.layers)]
    for blob in wanted:
        with store.open(blob.digest) as stream:
            if files[blob.digest.removeprefix("sha256:")] != stream.read():
                return False
    return files["manifest.json"] == image.manifest


def test_an_image_arrives_whole(target: Reference, store: Store, tmp_path: Path) -> None:
    """Another client gets the same bytes by the tag, and by the digest that is told."""
    image = _image(store, "whole")
    pushed = _push(target, image, store)
    assert pushed.digest == image.digest
    assert _is_whole(target, image, store, tmp_path / "by-tag")
    assert _is_whole(pushed.by_digest, image, store, tmp_path / "by-digest")


def test_what_is_told_of_a_push(target: Reference, store: Store) -> None:
    """As `push --json` prints it: each layer, bottom first, and the bytes sent, the config's too."""
    image = _image(store, "told")
    document = _push(target, image, store).document()
    assert document.pop("seconds") > 0
    assert document == {
        "reference": str(target),
        "digest": image.digest,
        "uploaded_bytes": sum(layer.blob.size for layer in image.layers) + len(image.config),
        "layers": [
            {"digest": layer.blob.digest, "size": layer.blob.size, "status": "uploaded"}
            for layer in image.layers
        ],
    }
    json.dumps(document)


def test_a_second_push_sends_nothing(lab: Registry, target: Reference, store: Store) -> None:
    """It asks for each blob and for the tag, and that is all."""
    image = _image(store, "second")
    _push(target, image, store)
    before = len(lab.requests())
    pushed = _push(target, image, store)
    assert (pushed.uploaded_bytes, {layer.status for layer in pushed.layers}) == (0, {"present"})
    asked = [method for method, _, _ in lab.requests()[before:]]
    assert sorted(asked) == ["GET", *["HEAD"] * 5]


def test_only_new_layers_are_sent(target: Reference, store: Store, tmp_path: Path) -> None:
    """What the repository has stays where it is, and the tag moves."""
    _push(target, _image(store, "only new"), store)
    image = packed(store, "next", [*({**files, "unique": b"only new"} for files in _LAYERS), {"new": b"new"}])
    pushed = _push(target, image, store)
    assert [layer.status for layer in pushed.layers] == ["present", "present", "present", "uploaded"]
    assert pushed.uploaded_bytes == image.layers[-1].blob.size + len(image.config)
    assert _is_whole(target, image, store, tmp_path / "copy")


def test_layers_of_another_repository_are_mounted(target: Reference, store: Store, tmp_path: Path) -> None:
    """Where the caller knows which repository has them."""
    image = _image(store, "mounted")
    _push(target, image, store)
    elsewhere = parse(f"{target.name}/elsewhere:1")
    sources = {layer.blob.digest: target.repository for layer in image.layers}
    pushed = _push(elsewhere, image, store, mount_from=sources)
    assert [layer.status for layer in pushed.layers] == ["mounted"] * 3
    assert pushed.uploaded_bytes == len(image.config)
    assert _is_whole(elsewhere, image, store, tmp_path / "copy")


def _on_a_base_that_is_elsewhere(
    target: Reference, store: Store, folder: Path
) -> tuple[Store, Image, dict[str, str]]:
    """An image whose base is in another repository only; its store, and where the base's layers are."""
    base = _image(store, target.repository)
    elsewhere = parse(f"{target.name}/base:1")
    _push(elsewhere, base, store)
    own = Store(folder / "own", lambda *_: pytest.fail("a blob of the base was fetched"))
    own.put_origin((item.blob for item in base.layers), elsewhere.name)
    top = packed(own, "top", [{"top": target.repository.encode()}]).layers[0]
    image = oci.append(base, [oci.Appended(top, "top", "2024-05-06T07:08:09Z")], "2024-05-06T07:08:09Z", {})
    own.put_image(image, "image")
    return own, image, own.repositories_at(target.registry)


def test_a_base_that_is_not_here_is_mounted(target: Reference, store: Store, tmp_path: Path) -> None:
    """None of its blobs is opened, for the first push and when all is present."""
    own, image, sources = _on_a_base_that_is_elsewhere(target, store, tmp_path)
    pushed = _push(target, image, own, mount_from=sources)
    assert [layer.status for layer in pushed.layers] == ["mounted", "mounted", "mounted", "uploaded"]
    assert pushed.uploaded_bytes == image.layers[-1].blob.size + len(image.config)
    assert {item.status for item in _push(target, image, own, mount_from=sources).layers} == {"present"}
    assert {item.status for item in _push(target, image, own).layers} == {"present"}
    assert _copied(target, tmp_path / "copy")["manifest.json"] == image.manifest


def test_what_a_push_would_send_onto_a_base_that_is_elsewhere(
    target: Reference, store: Store, tmp_path: Path
) -> None:
    """Only what is not to be mounted, where the caller knows from where."""
    own, image, sources = _on_a_base_that_is_elsewhere(target, store, tmp_path)
    with Client(target.registry) as client:
        assert missing(client, target, image, sources) == (image.config_blob, image.layers[-1].blob)
        assert len(missing(client, target, image)) == 5
        push(client, target, image, own.open, mount_from=sources)
        assert missing(client, target, image, sources) == missing(client, target, image) == ()


def test_a_dry_run_needs_no_blob(
    target: Reference, store: Store, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """What is to be mounted is shown so, and nothing is fetched to show that it would be sent."""
    own, image, sources = _on_a_base_that_is_elsewhere(target, store, tmp_path)
    with Client(target.registry, dry=True) as client:
        pushed = push(client, target, image, own.open, mount_from=sources)
        assert [item.status for item in pushed.layers] == ["mounted", "mounted", "mounted", "uploaded"]
        assert pushed.uploaded_bytes == image.layers[-1].blob.size + len(image.config)
        digest = image.layers[0].blob.digest
        url = f"http://{target.registry}/v2/{target.repository}/blobs/uploads/"
        shown = capfd.readouterr().err
        assert f"curl --request POST '{url}?mount={digest}&from={target.repository}/base'" in shown
        assert push(client, target, image, own.open).uploaded_bytes == pushed.uploaded_bytes + sum(
            item.blob.size for item in image.layers[:3]
        )


def test_a_layer_that_occurs_twice_is_sent_once(target: Reference, store: Store, tmp_path: Path) -> None:
    """And told once."""
    image = _image(store, "twice", [_LAYERS[0], _LAYERS[1], _LAYERS[0]])
    pushed = _push(target, image, store)
    assert [layer.digest for layer in pushed.layers] == [layer.blob.digest for layer in image.layers[:2]]
    assert _is_whole(target, image, store, tmp_path / "copy")


def test_what_a_push_would_send(lab: Registry, target: Reference, store: Store) -> None:
    """It is found out by asking, and it is what a push then sends."""
    image = _image(store, "missing")
    before = len(lab.requests())
    with Client(lab.host) as client:
        absent = missing(client, target, image)
        assert absent == (image.config_blob, *(layer.blob for layer in image.layers))
        assert {method for method, _, _ in lab.requests()[before:]} == {"GET", "HEAD"}
        assert push(client, target, image, store.open).uploaded_bytes == sum(blob.size for blob in absent)
        assert missing(client, target, image) == ()


def test_a_dry_run_shows_what_it_would_do(
    lab: Registry, target: Reference, store: Store, capfd: pytest.CaptureFixture[str]
) -> None:
    """As curl lines, and the registry stays as it is."""
    image = _image(store, "dry", [_LAYERS[0]])
    before = len(lab.requests())
    with Client(lab.host, dry=True) as client:
        pushed = push(client, target, image, store.open)
    assert not [method for method, _, _ in lab.requests()[before:] if method in _WRITES]
    assert _tags(target) == []
    layer = image.layers[0].blob
    assert [item.status for item in pushed.layers] == ["uploaded"]
    assert pushed.uploaded_bytes == layer.size + len(image.config)
    shown = capfd.readouterr().err
    base = f"http://{lab.host}/v2/{target.repository}"
    assert f"--upload-file={layer.digest} '{base}/blobs/uploads/LOCATION?digest={layer.digest}'" in shown
    assert shown.splitlines()[-1].endswith(f"--upload-file=manifest.json {base}/manifests/new")


def test_a_terminal_shows_progress(target: Reference, store: Store) -> None:
    """The console's bars take what a push reports."""
    image = _image(store, "bars")
    with console.bars() as bars:
        assert _push(target, image, store, on_progress=bars.update).digest == image.digest


def test_a_digest_that_is_not_the_images(lab: Registry, target: Reference, store: Store) -> None:
    """It is a usage error, found before anything is asked."""
    image = _image(store, "digest")
    before = len(lab.requests())
    with pytest.raises(ReferenceInvalid) as caught:
        _push(target.with_digest(f"sha256:{'0' * 64}"), image, store)
    assert caught.value.exit_code == 2
    assert len(lab.requests()) == before
    assert _push(target.with_digest(image.digest), image, store).digest == image.digest


def test_a_blob_that_the_store_lost(target: Reference, store: Store) -> None:
    """There is one line, and no tag."""
    image = _image(store, "lost")
    store.path(image.layers[1].blob.digest).unlink()
    with pytest.raises(BlobDamaged, match=f"blob {image.layers[1].blob.digest} is missing"):
        _push(target, image, store)
    assert _tags(target) == []


@pytest.mark.parametrize(
    ("deed", "method", "part"),
    [
        (Cut(100_000), "PUT", "/blobs/uploads/"),
        (Cut(), "POST", "/blobs/uploads/"),
        (Cut(), "HEAD", "/blobs/"),
        (Answer(500), "PUT", "/blobs/uploads/"),
        (Answer(429, {"Retry-After": "1"}), "PUT", "/blobs/uploads/"),
        (Answer(404, {}, b'{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}'), "PUT", "/blobs/uploads/"),
        (Answer(502, {"Content-Type": "text/html"}, b"<html>"), "PUT", "/manifests/"),
        (Cut(50), "PUT", "/manifests/"),
        (Cut(), "HEAD", "/manifests/"),
    ],
)
def test_what_goes_wrong_once_is_done_again(
    target: Reference, store: Store, tmp_path: Path, deed: Deed, method: str, part: str
) -> None:
    """And the image is whole."""
    todo = [deed]

    def meddle(request: Request) -> Deed | None:
        return todo.pop() if todo and request.method == method and part in request.path else None

    image = _image(store, f"once {deed} {method} {part}", [*_LAYERS, {"large": os.urandom(500_000)}])
    with between(target.registry, meddle) as web:
        assert _push(target, image, store, host=web.host).digest == image.digest
    assert todo == []
    assert _is_whole(target, image, store, tmp_path / "copy")


@pytest.mark.parametrize("seed", range(4))
def test_whatever_goes_wrong(target: Reference, store: Store, tmp_path: Path, seed: int) -> None:
    """A push ends well or with one line, and a tag names an image that is whole, or nothing."""
    chance = random.Random(seed)  # noqa: S311
    faults: list[Deed] = [
        Cut(),
        Cut(200_000),
        Answer(408),
        Answer(429, {"Retry-After": "0"}),
        Answer(500),
        Answer(502, {"Content-Type": "text/html"}, b"<html>"),
        Answer(202, {"Range": "0-999999"}),
        Answer(404, {}, b'{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}'),
    ]

    def meddle(request: Request) -> Deed | None:
        hit = request.path != "/v2/" and chance.random() < 0.05 + 0.1 * seed
        return chance.choice(faults) if hit else None

    target = replace(target, tag=f"seed{seed}")
    image = _image(store, f"seed {seed}", [*_LAYERS, {"large": os.urandom(500_000)}])
    with between(target.registry, meddle) as web:
        try:
            assert _push(target, image, store, web.host, chunk_size=200_000 * seed).digest == image.digest
            assert target.tag in _tags(target)
        except CephtasksError as error:
            assert [line.partition(":")[0] for line in str(error).splitlines()] == ["error", "hint"]
    if target.tag in _tags(target):
        assert _is_whole(target, image, store, tmp_path / "copy")


def test_what_was_pushed_is_read_back(target: Reference, store: Store) -> None:
    """Every blob of it, also of layers that were there."""
    image = _image(store, "read back")
    _push(target, image, store)
    with between(target.registry, lambda request: None) as web:
        _push(target, image, store, web.host, reread=True)
    read = {request.path.rpartition("/")[2] for request in web.seen if request.method == "GET"}
    assert read >= {image.config_blob.digest, *(layer.blob.digest for layer in image.layers)}


def test_a_registry_that_damaged_a_blob(lab: Registry, target: Reference, store: Store) -> None:
    """It calls the blob present, and only reading it back tells otherwise."""
    image = _image(store, "damaged there")
    _push(target, image, store)
    blob = image.layers[1].blob
    path = lab.blob(blob.digest)
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    _push(target, image, store)
    with pytest.raises(PushNotKept) as caught:
        _push(target, image, store, reread=True)
    sends = f"{lab.host} sends other bytes for blob {blob.digest} of {target.repository}"
    assert (caught.value.fact, caught.value.hint) == (
        sends,
        f"look at the storage of {lab.host}: it is damaged",
    )


def test_a_proxy_that_limits_bodies(target: Reference, store: Store, tmp_path: Path) -> None:
    """The image is whole all the same, whatever its layers weigh."""
    image = _image(store, "limited", [{"large": os.urandom(3_000_000)}, {"larger": os.urandom(4_000_000)}])
    with nginx(tmp_path / "nginx", target.registry, body_limit="1m") as proxy:
        assert _push(target, image, store, proxy.host).digest == image.digest
    assert _is_whole(target, image, store, tmp_path / "copy")


def test_a_registry_that_lost_one_blob_after_the_other(
    lab: Registry, target: Reference, store: Store
) -> None:
    """Each that it names is sent, however often it refuses the manifest."""
    image = _image(store, "one after the other")
    lost = [layer.blob.digest for layer in image.layers]
    refusals = [
        Answer(400, {}, f'{{"errors":[{{"code":"MANIFEST_BLOB_UNKNOWN","detail":"{digest}"}}]}}'.encode())
        for digest in lost
    ]

    def meddle(request: Request) -> Answer | None:
        if request.method == "PUT" and "/manifests/" in request.path and refusals:
            return refusals.pop(0)
        return None

    with between(lab.host, meddle) as web:
        assert _push(target, image, store, web.host).digest == image.digest
    puts = [request.path for request in web.seen if request.method == "PUT"]
    assert [sum(digest in path for path in puts) for digest in lost] == [2, 2, 2]


def test_a_registry_that_restarts_meanwhile(store: Store, tmp_path: Path) -> None:
    """It is waited for, and gets what it lacks."""
    port, stack = free_port(), ExitStack()
    image = _image(store, "restart", [*_LAYERS, {"large": os.urandom(3_000_000)}])
    timers: list[threading.Timer] = []

    def start() -> None:
        stack.enter_context(registry(tmp_path / "registry", port=port))

    def restart(name: str, done: int, total: int | None, note: str) -> None:
        if not timers and total and total > 2_000_000:
            timers.append(threading.Timer(0.5, start))
            stack.close()
            timers[0].start()

    with stack:
        start()
        target = parse(f"localhost:{port}/a/b:1")
        assert _push(target, image, store, on_progress=restart).digest == image.digest
        timers[0].join()
        assert _is_whole(target, image, store, tmp_path / "copy")


def test_a_connection_that_always_breaks(target: Reference, store: Store) -> None:
    """After a few attempts there is one line, and no tag."""

    def meddle(request: Request) -> Deed | None:
        return Cut() if request.method == "PUT" else None

    image = _image(store, "breaks", [_LAYERS[0]])
    with between(target.registry, meddle) as web, pytest.raises(RegistryUnreachable) as caught:
        _push(target, image, store, host=web.host)
    assert caught.value.fact == f"{web.host} closed the connection without an answer"
    assert _tags(target) == []


def test_a_registry_that_lost_a_blob(lab: Registry, target: Reference, store: Store, tmp_path: Path) -> None:
    """It calls the blob present, refuses the manifest for want of it, and gets it."""
    image = _image(store, "registry lost")
    lost = image.layers[1].blob

    def meddle(request: Request) -> Answer | None:
        return Answer(200) if request.method == "HEAD" and request.path.endswith(lost.digest) else None

    with between(lab.host, meddle) as web:
        pushed = _push(target, image, store, host=web.host)
    assert [layer.status for layer in pushed.layers] == ["uploaded"] * 3
    assert _is_whole(target, image, store, tmp_path / "copy")


def test_a_registry_that_goes_on_missing_a_blob(lab: Registry, target: Reference, store: Store) -> None:
    """It gets the blob once more, and then there is one line."""
    image = _image(store, "goes on")
    lost = image.layers[1].blob.digest
    refusal = json.dumps({"errors": [{"code": "MANIFEST_BLOB_UNKNOWN", "detail": {"digest": lost}}]}).encode()

    def meddle(request: Request) -> Answer | None:
        return Answer(400, {}, refusal) if request.method == "PUT" and "/manifests/" in request.path else None

    with between(lab.host, meddle) as web, pytest.raises(PushNotKept) as caught:
        _push(target, image, store, host=web.host)
    assert caught.value.fact == f"{target} was not written: {web.host} says that it lacks {lost}"
    puts = [request.path for request in web.seen if request.method == "PUT" and lost in request.path]
    assert len(puts) == 2


@pytest.mark.parametrize(
    ("answer", "kept"), [(Answer(200, body=b"{}"), oci.digest_of(b"{}")), (Answer(404), "nothing")]
)
def test_a_tag_that_is_not_kept(target: Reference, store: Store, answer: Answer, kept: str) -> None:
    """What the tag names is read back and compared, whatever the registry says of it."""
    image = _image(store, f"kept {kept}")

    def meddle(request: Request) -> Answer | None:
        return answer if request.method == "GET" and "/manifests/" in request.path else None

    with between(target.registry, meddle) as web, pytest.raises(PushNotKept) as caught:
        _push(target, image, store, host=web.host)
    assert caught.value.fact == f"{target} names {kept} after the push, not {image.digest}"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Answer(200, {"Content-Type": "text/html"}, b"<html>"), NotARegistry),
        (Answer(302, {"Location": "/login"}), NotARegistry),
        (Answer(403), RegistryUnauthorized),
        (Answer(401), RegistryUnauthorized),
        (Answer(500), RegistryRefused),
        (Cut(), RegistryUnreachable),
    ],
)
def test_what_is_no_registry_gets_nothing(store: Store, answer: Deed, kind: type[CephtasksError]) -> None:
    """One line and one hint, at once."""
    image = _image(store, "nothing")
    with answering(lambda request: answer) as web:
        with pytest.raises(kind) as caught:
            _push(parse(f"{web.host}/a/b:1"), image, store)
        assert not [request for request in web.seen if request.method in _WRITES]
    lines = str(caught.value).splitlines()
    assert [line.partition(":")[0] for line in lines] == ["error", "hint"]


def test_nothing_listens(store: Store) -> None:
    """The hint starts a registry."""
    host = f"localhost:{free_port()}"
    with pytest.raises(RegistryUnreachable) as caught:
        _push(parse(f"{host}/a/b:1"), _image(store, "down"), store)
    assert str(caught.value) == f"error: nothing listens at {host}\nhint: invoke registry.up"


def test_a_real_image_of_dockers_format_is_kept_as_it_is(target: Reference, store: Store) -> None:
    """The manifest's bytes are sent as they are, whatever made them."""
    image = _image(store, "bytes")
    spaced = Image(json.dumps(json.loads(image.manifest), indent=3).encode(), image.config)
    assert _push(target, spaced, store).digest == oci.digest_of(spaced.manifest) != image.digest
