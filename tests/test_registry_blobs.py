"""Blobs: how one comes into a repository of a real registry, and what is left of it when it does not."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cephtasks.errors import (
    BlobDamaged,
    CephtasksError,
    RegistryRefused,
    RegistryUnauthorized,
    RegistryUnreachable,
)
from cephtasks.jobs import Stopped
from cephtasks.oci import Descriptor, digest_of
from cephtasks.registry import Client, blobs
from cephtasks.registry.uploads import Upload
from lab.registries import Registry, registry
from lab.webs import Answer, Cut, Deed, Request, answering, between

_CONTENT = bytes(range(256)) * 4096  # a megabyte


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry of these tests alone."""
    with registry(tmp_path_factory.mktemp("registry")) as started:
        yield started


@pytest.fixture
def repository(request: pytest.FixtureRequest) -> str:
    """A repository of this test alone."""
    return f"blobs/{request.node.name.partition('[')[0].lower().replace('_', '-')}"


class _Told:
    """What an upload reports."""

    def __init__(self) -> None:
        self.reports: list[tuple[str, int, int | None, str]] = []

    def __call__(self, name: str, done: int, total: int | None, note: str) -> None:
        self.reports.append((name, done, total, note))


def _blob(folder: Path, content: bytes) -> Descriptor:
    digest = digest_of(content)
    (folder / digest).write_bytes(content)
    return Descriptor("application/octet-stream", digest, len(content))


def _upload(
    folder: Path, repository: str, blob: Descriptor, source: str = "", told: _Told | None = None
) -> Upload:
    return Upload(repository, blob, lambda digest: (folder / digest).open("rb"), told or _Told(), source)


def _bring(host: str, upload: Upload, stop: threading.Event | None = None) -> str:
    with Client(host) as client:
        return blobs.bring(client, upload, stop or threading.Event())


def test_a_blob_is_uploaded_once(lab: Registry, repository: str, tmp_path: Path) -> None:
    """The second time it is there, and nothing is sent."""
    upload = _upload(tmp_path, repository, _blob(tmp_path, _CONTENT))
    assert _bring(lab.host, upload) == "uploaded"
    assert lab.blob(upload.blob.digest).read_bytes() == _CONTENT
    before = len(lab.requests())
    assert _bring(lab.host, upload) == "present"
    assert [method for method, _, _ in lab.requests()[before:]] == ["GET", "HEAD"]


def test_an_empty_blob(lab: Registry, repository: str, tmp_path: Path) -> None:
    """It has a length too."""
    upload = _upload(tmp_path, repository, _blob(tmp_path, b""))
    assert _bring(lab.host, upload) == "uploaded"
    assert lab.blob(upload.blob.digest).read_bytes() == b""


def test_progress_grows_to_the_size(lab: Registry, repository: str, tmp_path: Path) -> None:
    """Named by the first digits of the digest, and it ends with what became of the blob."""
    blob, told = _blob(tmp_path, _CONTENT + b"progress"), _Told()
    _bring(lab.host, _upload(tmp_path, repository, blob, told=told))
    done = [report[1] for report in told.reports]
    assert done == sorted(done)
    assert len(done) > 3
    name = blob.digest.removeprefix("sha256:")[:12]
    assert told.reports[-1] == (name, blob.size, blob.size, "uploaded")
    assert {report[2] for report in told.reports} == {blob.size}


def test_a_blob_of_another_repository_is_mounted(lab: Registry, repository: str, tmp_path: Path) -> None:
    """Nothing is sent where the same registry has it elsewhere."""
    blob, told = _blob(tmp_path, _CONTENT + b"mount"), _Told()
    _bring(lab.host, _upload(tmp_path, f"{repository}/source", blob))
    assert _bring(lab.host, _upload(tmp_path, repository, blob, f"{repository}/source", told)) == "mounted"
    assert [report[1:] for report in told.reports] == [(blob.size, blob.size, "mounted")]
    with Client(lab.host) as client:
        assert blobs.is_present(client, repository, blob)


def test_a_mount_that_fails_becomes_an_upload(lab: Registry, repository: str, tmp_path: Path) -> None:
    """In the session that the registry opened instead; none is left open."""
    blob = _blob(tmp_path, _CONTENT + b"no mount")
    assert _bring(lab.host, _upload(tmp_path, repository, blob, "nobody/has/it")) == "uploaded"
    assert lab.unfinished(repository) == []


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405])
def test_a_mount_that_is_refused_becomes_an_upload(
    lab: Registry, repository: str, tmp_path: Path, status: int
) -> None:
    """Whatever a registry answers to it."""

    def meddle(request: Request) -> Answer | None:
        return Answer(status) if "mount=" in request.path else None

    blob = _blob(tmp_path, _CONTENT + bytes(status))
    with between(lab.host, meddle) as web:
        assert _bring(web.host, _upload(tmp_path, repository, blob, "team/app")) == "uploaded"


def test_a_redirect_to_storage_means_present(tmp_path: Path) -> None:
    """Registries that keep blobs elsewhere point there for those that they have."""
    storage = Answer(307, {"Location": "https://storage.invalid/blob?signature=x"})
    with answering(lambda request: storage if request.method == "HEAD" else Answer()) as web:
        assert _bring(web.host, _upload(tmp_path, "a/b", _blob(tmp_path, b"x"))) == "present"


def test_a_cut_upload_leaves_nothing_behind(lab: Registry, repository: str, tmp_path: Path) -> None:
    """The registry is told to drop what it got."""

    def meddle(request: Request) -> Cut | None:
        return Cut(300_000) if request.method == "PUT" else None

    blob = _blob(tmp_path, _CONTENT + b"cut")
    with between(lab.host, meddle) as web, pytest.raises(RegistryUnreachable) as caught:
        _bring(web.host, _upload(tmp_path, repository, blob))
    assert caught.value.fact == f"{web.host} closed the connection without an answer"
    assert caught.value.hint == f"curl --include http://{web.host}/v2/"
    assert lab.unfinished(repository) == []


def test_an_upload_ends_when_it_is_told_to(lab: Registry, repository: str, tmp_path: Path) -> None:
    """In the middle of the blob, which the registry then does not have."""
    stop = threading.Event()

    def told(name: str, done: int, total: int | None, note: str) -> None:
        stop.set()

    blob = _blob(tmp_path, _CONTENT + b"stop")
    upload = Upload(repository, blob, lambda digest: (tmp_path / digest).open("rb"), told)
    with pytest.raises(Stopped):
        _bring(lab.host, upload, stop)
    assert not lab.blob(blob.digest).exists()


@pytest.mark.parametrize(
    ("content", "how"),
    [
        (_CONTENT[:-1], "has 1048575 bytes, not 1048576"),
        (b"", "has 0 bytes, not 1048576"),
        (_CONTENT[::-1], "holds the bytes of sha256:"),
        (_CONTENT[::-1] + b"longer", "holds the bytes of sha256:"),
    ],
)
def test_a_blob_that_is_damaged_here(
    lab: Registry, repository: str, tmp_path: Path, content: bytes, how: str
) -> None:
    """It is told as that, with the file to remove, and the registry does not take it."""
    blob = Descriptor("application/octet-stream", digest_of(_CONTENT), len(_CONTENT))
    path = tmp_path / blob.digest
    path.write_bytes(content)
    with pytest.raises(BlobDamaged) as caught:
        _bring(lab.host, _upload(tmp_path, repository, blob))
    assert caught.value.fact.startswith(f"blob {blob.digest} {how}")
    assert caught.value.hint == f"rm {path}; invoke pack"
    with Client(lab.host) as client:
        assert not blobs.is_present(client, repository, blob)


def test_a_blob_that_is_damaged_on_its_way(lab: Registry, repository: str, tmp_path: Path) -> None:
    """It is sent again, whole."""
    refusal = (
        b'{"errors":[{"code":"DIGEST_INVALID","message":"provided digest did not match uploaded content"}]}'
    )
    todo = [Answer(400, {}, refusal)]

    def meddle(request: Request) -> Answer | None:
        return todo.pop() if todo and request.method == "PUT" else None

    upload = _upload(tmp_path, repository, _blob(tmp_path, _CONTENT + b"on its way"))
    with between(lab.host, meddle) as web:
        assert _bring(web.host, upload) == "uploaded"
    assert todo == []
    assert lab.blob(upload.blob.digest).read_bytes() == _CONTENT + b"on its way"
    assert lab.unfinished(repository) == []


@pytest.mark.parametrize(
    ("answer", "kind", "fact"),
    [
        (
            Answer(200, {"Content-Type": "text/html"}, b"<html>"),
            RegistryRefused,
            "HOST refuses BLOB: HTTP 200 OK, with a web page",
        ),
        (
            Answer(405, {}, b'{"errors":[{"code":"UNSUPPORTED","message":"The operation is unsupported."}]}'),
            RegistryRefused,
            "HOST refuses BLOB: UNSUPPORTED: The operation is unsupported.",
        ),
        (Answer(403), RegistryUnauthorized, "HOST allows no access to BLOB: HTTP 403 Forbidden"),
    ],
)
def test_an_upload_that_does_not_begin(
    lab: Registry, tmp_path: Path, answer: Deed, kind: type[CephtasksError], fact: str
) -> None:
    """One line that names the blob."""
    blob = _blob(tmp_path, _CONTENT + b"begin")

    def meddle(request: Request) -> Deed | None:
        return answer if request.method == "POST" else None

    with between(lab.host, meddle) as web, pytest.raises(kind) as caught:
        _bring(web.host, _upload(tmp_path, "a/b", blob))
    assert caught.value.fact == fact.replace("HOST", web.host).replace("BLOB", f"blob {blob.digest}")


def test_a_registry_that_is_read_only(tmp_path: Path) -> None:
    """It says so itself."""
    blob = _blob(tmp_path, b"x")
    with registry(tmp_path / "registry", readonly=True) as started, pytest.raises(RegistryRefused) as caught:
        _bring(started.host, _upload(tmp_path, "a/b", blob))
    assert caught.value.status == 405
