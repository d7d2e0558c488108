"""Uploads: blobs in pieces, cut and gone on with, to real registries and by way of odd proxies."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cephtasks.errors import CephtasksError, RegistryRefused, UploadLost
from cephtasks.oci import Descriptor, digest_of
from cephtasks.registry import Client, blobs
from cephtasks.registry.uploads import Pieces, Upload, bytes_kept, silent
from lab.proxies import nginx
from lab.registries import Registry, registry
from lab.resuming import resuming, truthful
from lab.webs import Answer, Cut, Deed, Request, Web, between
from lab.wires import cut_once

_CONTENT = bytes(range(256)) * 4096  # a megabyte
_PIECE = 300_000


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry of these tests alone."""
    with registry(tmp_path_factory.mktemp("registry")) as started:
        yield started


class _Blob:
    """A blob like no other test's, and the way it goes into a repository of its own."""

    def __init__(self, folder: Path, name: str) -> None:
        self.content = _CONTENT + name.encode()
        self.repository = f"uploads/{digest_of(self.content)[7:19]}"
        self.descriptor = Descriptor("application/octet-stream", digest_of(self.content), len(self.content))
        self.path = folder / "blob"
        self.path.write_bytes(self.content)

    def upload(self, host: str, pieces: Pieces | None = None) -> str:
        """Send it."""
        upload = Upload(
            self.repository,
            self.descriptor,
            lambda _: self.path.open("rb"),
            silent,
            pieces=pieces or Pieces(),
        )
        with Client(host) as client:
            return blobs.bring(client, upload, threading.Event())

    def is_whole(self, lab: Registry) -> bool:
        """Whether the registry has its very bytes."""
        return lab.blob(self.descriptor.digest).read_bytes() == self.content


@pytest.fixture
def blob(tmp_path: Path, request: pytest.FixtureRequest) -> _Blob:
    """The blob of this test alone."""
    return _Blob(tmp_path, request.node.name)


def _sizes(web: Web, *methods: str) -> list[int]:
    """How many bytes each request carried, or said that it would."""
    return [request.size for request in web.seen if request.method in methods]


def _once(matches: Callable[[Request], bool], deed: Deed) -> Callable[[Request], Deed | None]:
    """Something that goes wrong with the first request that fits."""
    todo = [deed]
    return lambda request: todo.pop() if todo and matches(request) else None


def test_pieces_of_a_wanted_size(lab: Registry, blob: _Blob) -> None:
    """No request carries more."""
    with between(lab.host, lambda request: None) as web:
        assert blob.upload(web.host, Pieces(_PIECE)) == "uploaded"
    rest = len(blob.content) - 3 * _PIECE
    assert _sizes(web, "PATCH", "PUT") == [_PIECE, _PIECE, _PIECE, rest]
    ranges = [request.headers.get("content-range") for request in web.seen if request.size]
    assert ranges[:2] == ["0-299999", "300000-599999"]
    assert blob.is_whole(lab)


def test_a_piece_that_is_all(lab: Registry, blob: _Blob) -> None:
    """It goes in one request, as ever."""
    with between(lab.host, lambda request: None) as web:
        blob.upload(web.host, Pieces(len(blob.content)))
    assert _sizes(web, "PATCH", "PUT") == [len(blob.content)]


def test_a_proxy_that_limits_bodies(
    lab: Registry, blob: _Blob, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Pieces get smaller until it takes them, and the next blob begins with that size."""
    pieces = Pieces()
    with nginx(tmp_path / "nginx", lab.host, body_limit="200k") as proxy:
        assert blob.upload(proxy.host, pieces) == "uploaded"
        refused = [status for _, _, status, _ in proxy.requests() if status == 413]
        (tmp_path / "next").mkdir()
        after = _Blob(tmp_path / "next", "the next blob")
        assert after.upload(proxy.host, pieces) == "uploaded"
        assert len([status for _, _, status, _ in proxy.requests() if status == 413]) == len(refused) == 3
    assert blob.is_whole(lab)
    assert after.is_whole(lab)
    assert f"{proxy.host} takes no 1.0 MB at once: sending smaller pieces" in capfd.readouterr().err


def test_a_proxy_that_takes_next_to_nothing(lab: Registry, blob: _Blob, tmp_path: Path) -> None:
    """It is told, with what to change."""
    with (
        nginx(tmp_path / "nginx", lab.host, body_limit="10k") as proxy,
        pytest.raises(RegistryRefused) as caught,
    ):
        blob.upload(proxy.host)
    assert caught.value.status == 413
    assert caught.value.hint == (
        f"raise the limit of request bodies (nginx: client_max_body_size) in front of {proxy.host}"
    )
    assert lab.unfinished(blob.repository) == []


@pytest.mark.parametrize("after", [0, 1, 2 * _PIECE // 3])
def test_a_cut_where_the_registry_can_go_on(lab: Registry, blob: _Blob, after: int) -> None:
    """What came is not sent again."""
    cut = _once(lambda request: request.method == "PUT", Cut(after))
    with resuming(lab.host, cut) as web:  # type: ignore[arg-type]
        assert blob.upload(web.host) == "uploaded"
    # Of one byte a registry says 0-0, as of none.
    assert _sizes(web, "PUT")[1:] == [len(blob.content) - after] if after != 1 else [len(blob.content)] * 2
    assert blob.is_whole(lab)


def test_a_cut_in_a_piece_where_the_registry_can_go_on(lab: Registry, blob: _Blob) -> None:
    """The pieces go on from the byte where it was."""
    cut = _once(lambda request: request.headers.get("content-range", "").startswith("300000-"), Cut(1000))
    with resuming(lab.host, cut) as web:  # type: ignore[arg-type]
        assert blob.upload(web.host, Pieces(_PIECE)) == "uploaded"
    starts = [request.headers["content-range"].partition("-")[0] for request in web.seen if request.size]
    assert starts == ["0", "300000", "301000", "601000", "901000"]
    assert blob.is_whole(lab)


def test_cut_again_and_again(lab: Registry, blob: _Blob) -> None:
    """As long as each attempt gets further, there is another."""
    cuts = iter([Cut(100_000)] * 7)
    with resuming(lab.host, lambda request: next(cuts, None) if request.method == "PUT" else None) as web:
        assert blob.upload(web.host) == "uploaded"
    assert _sizes(web, "PUT") == [len(blob.content) - done * 100_000 for done in range(8)]
    assert blob.is_whole(lab)


@pytest.mark.parametrize("pieces", [0, _PIECE])
def test_a_cut_where_the_registry_cannot_go_on(lab: Registry, blob: _Blob, pieces: int) -> None:
    """Registry 2.8 knows an upload by what it had before the cut alone: the blob is sent anew."""
    before = len(lab.requests())
    with cut_once(lab.port, after=400_000) as host:
        assert blob.upload(host, Pieces(pieces)) == "uploaded"
    asked = [(method, status) for method, _, status in lab.requests()[before:]]
    assert asked.count(("POST", 202)) == 2
    assert ("GET", 404) in asked
    assert blob.is_whole(lab)


def test_an_answer_that_is_lost(lab: Registry, blob: _Blob) -> None:
    """Of a blob that the registry got whole nothing is sent again."""
    lost: list[Request] = []

    def meddle(request: Request) -> Callable[[Answer], Answer] | None:
        if request.method != "PUT" or lost:
            return None
        lost.append(request)
        return lambda answer: Answer(502, {"Content-Type": "text/html"}, b"<html>Bad Gateway</html>")

    with between(lab.host, meddle) as web:
        assert blob.upload(web.host) == "uploaded"
    assert _sizes(web, "PUT") == [len(blob.content)]
    assert blob.is_whole(lab)


@pytest.mark.parametrize("lie", ["0-999999999", "0-5", "", "bytes=5-10", "nonsense", f"0-{'9' * 5000}"])
def test_a_lie_about_what_came(lab: Registry, blob: _Blob, lie: str) -> None:
    """The blob is sent anew, and the registry never keeps other bytes."""
    cut = _once(lambda request: request.method == "PUT", Cut(1000))
    with resuming(lab.host, cut, lambda kept: lie) as web:  # type: ignore[arg-type]
        assert blob.upload(web.host) == "uploaded"
    assert blob.is_whole(lab)


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_a_location_that_is_lost_once(lab: Registry, blob: _Blob, method: str) -> None:
    """The upload begins anew."""
    lost: list[Request] = []

    def meddle(request: Request) -> Callable[[Answer], Answer] | None:
        if request.method != method or lost:
            return None
        lost.append(request)
        return lambda answer: Answer(202)

    with between(lab.host, meddle) as web:
        assert blob.upload(web.host, Pieces(_PIECE)) == "uploaded"
    assert blob.is_whole(lab)


def test_no_location_at_all(lab: Registry, blob: _Blob) -> None:
    """After a few attempts there is one line."""

    def meddle(request: Request) -> Callable[[Answer], Answer] | None:
        return (lambda answer: Answer(202)) if request.method == "POST" else None

    with between(lab.host, meddle) as web, pytest.raises(UploadLost) as caught:
        blob.upload(web.host)
    assert caught.value.fact == f"{web.host} does not say where to upload to"
    assert caught.value.hint == f"curl --include http://{web.host}/v2/"


def test_a_login_that_ends_in_the_middle(lab: Registry, blob: _Blob) -> None:
    """A piece that was sent with an old token is sent again, from its beginning, with a new one."""
    given: list[str] = []

    def meddle(request: Request) -> Answer | None:
        if request.path.startswith("/token"):
            given.append(f"token{len(given)}")
            return Answer(body=f'{{"token": "{given[-1]}"}}'.encode())
        ended = request.headers.get("content-range", "").startswith("300000-") and len(given) == 1
        if given and request.headers.get("authorization") == f"Bearer {given[-1]}" and not ended:
            return None
        return Answer(401, {"WWW-Authenticate": f'Bearer realm="http://{web.host}/token"'})

    with between(lab.host, meddle) as web:
        assert blob.upload(web.host, Pieces(_PIECE)) == "uploaded"
    assert given == ["token0", "token1"]
    assert blob.is_whole(lab)


def test_what_is_given_up_is_taken_away(lab: Registry, blob: _Blob) -> None:
    """Where the registry resumes it is asked to forget what will never be whole."""
    with resuming(lab.host, lambda request: Answer(507) if request.method == "PUT" else None) as web:
        with pytest.raises(CephtasksError):
            blob.upload(web.host)
        assert [request.method for request in web.seen][-2:] == ["PUT", "DELETE"]


@pytest.mark.parametrize(
    ("header", "count"),
    [("0-0", 0), ("0-1", 2), ("bytes=0-99", 100), (" 0-99 ", 100), ("0-", None), ("1-5", None), ("", None)],
)
def test_what_a_range_says(header: str, count: int | None) -> None:
    """Registries write 0-0 for nothing, and some write the unit."""
    assert bytes_kept(header) == count


@given(st.integers(2, 1 << 50))
def test_a_range_that_was_written_is_read(count: int) -> None:
    """Any number of bytes comes back."""
    assert bytes_kept(truthful(count)) == count


@given(st.text(max_size=50))
def test_no_range_upsets_it(header: str) -> None:
    """Whatever a server sends."""
    assert (bytes_kept(header) or 0) >= 0
