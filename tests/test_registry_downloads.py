"""Downloads: blobs of real registries and of odd ones, in whole and in part."""

import errno
import io
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cephtasks import layer, layer_index
from cephtasks.errors import BlobDamaged, NotARegistry, RegistryRefused, RegistryUnreachable
from cephtasks.oci import Descriptor, digest_of
from cephtasks.registry import Client, blobs, download, ranges
from cephtasks.registry.uploads import Upload, shown_name, silent
from cephtasks.tree import Entry, Kind
from lab.registries import Registry, registry
from lab.webs import Answer, Deed, Request, Web, answering, between

_CONTENT = bytes(range(256)) * 10_000  # two megabytes and a half
_DIGEST = digest_of(_CONTENT)
_BLOB = Descriptor("application/octet-stream", _DIGEST, len(_CONTENT))


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry that has the blob."""
    with registry(tmp_path_factory.mktemp("registry")) as started:
        _upload(started, _CONTENT)
        yield started


def _upload(lab: Registry, content: bytes) -> Descriptor:
    blob = Descriptor("application/octet-stream", digest_of(content), len(content))
    upload = Upload("a/b", blob, lambda _: io.BytesIO(content), silent)
    with Client(lab.host) as client:
        blobs.bring(client, upload, threading.Event())
    return blob


def _got(host: str, blob: Descriptor = _BLOB) -> bytes:
    sink = io.BytesIO()
    with Client(host) as client:
        download(client, "a/b", blob, sink)
    return sink.getvalue()


def _part(host: str, offset: int, length: int) -> bytes:
    with Client(host) as client:
        return ranges(client, "a/b", _DIGEST)(offset, length)


def _of_blobs(respond: Callable[[Request], Deed]) -> Callable[[Request], Deed]:
    """A registry that answers so when it is asked for blobs."""
    return lambda request: respond(request) if "/blobs/" in request.path else Answer()


def _asked(web: Web) -> list[str]:
    """The ranges of blobs that were asked for."""
    return [request.headers.get("range", "all") for request in web.seen if "/blobs/" in request.path]


def _first_byte(request: Request) -> int:
    found = re.match(r"bytes=(\d+)-", request.headers.get("range", ""))
    return int(found[1]) if found else 0


_PARTS = [
    (0, 1),
    (5, 100),
    (1 << 20, 1 << 20),
    (len(_CONTENT) - 10, 100),
    (len(_CONTENT), 10),
    (len(_CONTENT) + 10, 10),
]


@pytest.mark.parametrize(("offset", "length"), _PARTS)
def test_a_part_of_a_blob(lab: Registry, offset: int, length: int) -> None:
    """It is as long as was asked for, and shorter at the end; nothing lies behind that."""
    assert _part(lab.host, offset, length) == _CONTENT[offset : offset + length]


@pytest.mark.parametrize(("offset", "length"), _PARTS)
def test_a_server_that_knows_no_ranges(offset: int, length: int) -> None:
    """It sends all of the blob, of which the part is taken."""
    with answering(_of_blobs(lambda _: Answer(body=_CONTENT))) as web:
        assert _part(web.host, offset, length) == _CONTENT[offset : offset + length]


def test_a_server_that_sends_another_part() -> None:
    """An earlier one holds what is wanted, a later one does not."""
    told = {"Content-Range": f"bytes 100-299/{len(_CONTENT)}"}
    with answering(_of_blobs(lambda _: Answer(206, told, _CONTENT[100:300]))) as web:
        assert _part(web.host, 150, 20) == _CONTENT[150:170]
        with pytest.raises(NotARegistry, match="it sends another part of a blob than it was asked for"):
            _part(web.host, 50, 20)


def test_the_index_of_a_layer_costs_one_small_request(lab: Registry) -> None:
    """Of a layer in a registry, as large as it may be."""
    entry = Entry("large", Kind.FILE, size=len(_CONTENT), sha256=_DIGEST.removeprefix("sha256:"))
    told = layer_index.LayerIndex("osd", (entry,))
    first, content = layer_index.first_entry(told), b"".join(layer_index.document(told))
    sink = io.BytesIO()
    layer.write([first, entry], lambda item: io.BytesIO(_CONTENT if item is entry else content), sink, "gzip")
    blob = _upload(lab, sink.getvalue())
    with between(lab.host, lambda _: None) as web, Client(web.host) as client:
        index = layer_index.read(ranges(client, "a/b", blob.digest))
        assert index == told
        assert _asked(web) == ["bytes=0-16383"]


def test_a_whole_blob(lab: Registry) -> None:
    """Also an empty one."""
    assert _got(lab.host) == _CONTENT
    assert _got(lab.host, _upload(lab, b"")) == b""


def test_progress_grows_to_the_size(lab: Registry) -> None:
    """Named as uploads are."""
    told: list[tuple[str, int, int | None, str]] = []
    with Client(lab.host) as client:
        download(client, "a/b", _BLOB, io.BytesIO(), lambda *report: told.append(report))
    done = [report[1] for report in told]
    assert len(done) > 2
    assert done == sorted(done)
    assert told[-1] == (shown_name(_BLOB), len(_CONTENT), len(_CONTENT), "")


@pytest.mark.parametrize("knows_ranges", [True, False])
@pytest.mark.parametrize("length", [True, False])
def test_a_download_goes_on_after_a_cut(knows_ranges: bool, length: bool) -> None:
    """With the bytes that are not there yet, whether or not the server told how many there are."""
    cuts = [1_500_000]

    def respond(request: Request) -> Answer:
        start = _first_byte(request) if knows_ranges else 0
        cut = cuts.pop() if cuts else None
        return Answer(206 if start else 200, {}, _CONTENT[start:], cut, length or cut is None)

    with answering(_of_blobs(respond)) as web:
        assert _got(web.host) == _CONTENT
        first, second = _asked(web)
    assert first == "all"
    assert 1_200_000 < int(second.removeprefix("bytes=").removesuffix("-")) <= 1_500_000


def test_a_cut_at_the_beginning(lab: Registry) -> None:
    """There is nothing to go on from."""
    cuts = [0]

    def meddle(request: Request) -> Answer | None:
        return Answer(body=_CONTENT, cut=cuts.pop()) if cuts and "/blobs/" in request.path else None

    with between(lab.host, meddle) as web:
        assert _got(web.host) == _CONTENT
        assert _asked(web) == ["all", "all"]


def test_a_cut_behind_the_last_byte() -> None:
    """There is nothing left to be had, which is no error."""
    content = bytes(1 << 20)
    blob = Descriptor("", digest_of(content), len(content))

    def respond(request: Request) -> Answer:
        return Answer(416) if _first_byte(request) else Answer(body=content + b"x", cut=len(content))

    with answering(_of_blobs(respond)) as web:
        assert _got(web.host, blob) == content
        assert _asked(web) == ["all", f"bytes={len(content)}-"]


def test_a_connection_that_always_breaks() -> None:
    """After a few attempts there is one line."""
    with answering(_of_blobs(lambda _: Answer(body=_CONTENT, cut=0))) as web:
        with pytest.raises(RegistryUnreachable) as caught:
            _got(web.host)
        assert caught.value.fact == f"{web.host} broke off its answer"
        assert len(_asked(web)) == 4


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_failure_that_passes(lab: Registry, status: int) -> None:
    """It is asked again."""
    todo = [status]

    def meddle(request: Request) -> Answer | None:
        return Answer(todo.pop()) if todo and "/blobs/" in request.path else None

    with between(lab.host, meddle) as web:
        assert _got(web.host) == _CONTENT


@pytest.mark.parametrize("content", [b"", _CONTENT[:-1], _CONTENT + b"x", _CONTENT[::-1], b"<html>"])
def test_other_bytes(content: bytes) -> None:
    """Fewer, more or wrong ones are no blob."""

    def respond(request: Request) -> Answer:
        start = _first_byte(request)
        return Answer(206, {}, content[start:]) if start < len(content) or not start else Answer(416)

    with answering(_of_blobs(respond)) as web:
        with pytest.raises(BlobDamaged) as caught:
            _got(web.host)
        assert caught.value.fact == f"{web.host} sends other bytes for blob {_DIGEST} of a/b"


def test_more_bytes_than_there_should_be() -> None:
    """They are not read to their end, which may never come."""
    sink = io.BytesIO()
    small = Descriptor("", digest_of(b"small"), 5)
    with (
        answering(_of_blobs(lambda _: Answer(body=b"small" + bytes(20 << 20)))) as web,
        Client(web.host) as client,
        pytest.raises(BlobDamaged),
    ):
        download(client, "a/b", small, sink)
    assert len(sink.getvalue()) <= 1 << 20


def test_a_blob_that_is_not_there(lab: Registry) -> None:
    """The registry's own words are told."""
    gone = Descriptor("", f"sha256:{'0' * 64}", 5)
    with pytest.raises(RegistryRefused) as caught:
        _got(lab.host, gone)
    assert caught.value.fact.startswith(f"{lab.host} refuses blob {gone.digest}: BLOB_UNKNOWN")


def test_nothing_is_compressed_on_the_way(lab: Registry) -> None:
    """It would be other bytes than the digest promises."""
    with between(lab.host, lambda _: None) as web:
        assert _got(web.host) == _CONTENT
        assert {request.headers["accept-encoding"] for request in web.seen if "/blobs/" in request.path} == {
            "identity"
        }


def _registry_with_login(location: Callable[[], str]) -> Callable[[Request], Answer]:
    """A registry that lets in who has a login, and keeps its blobs elsewhere."""

    def respond(request: Request) -> Answer:
        if "authorization" not in request.headers:
            return Answer(401, {"WWW-Authenticate": 'Basic realm="lab"'})
        return Answer(307, {"Location": location()}) if "/blobs/" in request.path else Answer()

    return respond


@pytest.mark.parametrize("moved", [True, False])
def test_blobs_that_are_kept_elsewhere_get_no_login(moved: bool) -> None:
    """The range is asked for there too; a further redirect is one of that host."""

    def storage(request: Request) -> Answer:
        if moved and not request.path.startswith("/there/"):
            return Answer(302, {"Location": "/there/blob?signature=x"})
        start = _first_byte(request)
        return Answer(206, {"Content-Range": f"bytes {start}-"}, _CONTENT[start:])

    with (
        answering(storage) as elsewhere,
        answering(_registry_with_login(lambda: f"http://{elsewhere.host}/blob?signature=x")) as web,
        Client(web.host, credentials=lambda _: ("ann", "secret")) as client,
    ):
        assert ranges(client, "a/b", _DIGEST)(5, 10) == _CONTENT[5:15]
        download(client, "a/b", _BLOB, io.BytesIO())
        assert {request.headers.get("range") for request in elsewhere.seen} == {"bytes=5-14", None}
        assert not [request for request in elsewhere.seen if "authorization" in request.headers]
        assert [request for request in web.seen if "authorization" in request.headers]


@pytest.mark.parametrize(
    ("location", "why"),
    [
        ("/v2/a/b/blobs/again", "its redirects never end"),
        ("", "it redirects to no address"),
        ("http://[", "it gives an address that cannot be read"),
        ("ftp://storage.invalid/blob", "is no address that can be asked"),
    ],
)
def test_redirects_that_lead_nowhere(location: str, why: str) -> None:
    """There is one line, soon."""
    headers = {"Location": location} if location else {}
    with answering(_of_blobs(lambda _: Answer(307, headers))) as web:
        with pytest.raises(NotARegistry, match=why):
            _part(web.host, 0, 10)
        assert len(web.seen) < 10


def test_an_error_page_that_breaks_off(lab: Registry) -> None:
    """It tells nothing, and is asked for again."""
    todo = [Answer(404, {}, b"x" * 100, cut=10)]
    with between(lab.host, lambda asked: todo.pop() if todo and "/blobs/" in asked.path else None) as web:
        assert _part(web.host, 5, 10) == _CONTENT[5:15]
        assert todo == []


def test_a_sink_that_takes_no_more(lab: Registry) -> None:
    """Its own error comes through, at once."""
    full = Path("/dev/full")
    with Client(lab.host) as client, full.open("wb", buffering=0) as sink, pytest.raises(OSError) as caught:
        download(client, "a/b", _BLOB, sink)
    assert caught.value.errno == errno.ENOSPC
