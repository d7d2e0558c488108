"""Streams: a blob read as a file, over servers that cut and lie."""

import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from cephtasks.errors import BlobDamaged, RegistryRefused
from cephtasks.oci import Descriptor
from cephtasks.reference import parse
from cephtasks.registry import Client, push
from cephtasks.registry.streams import stream
from cephtasks.store import Store
from lab.images import packed
from lab.webs import Answer, Request, between

_REPOSITORY = "streams/blob"


@pytest.fixture
def blob(registry: str, tmp_path: Path) -> tuple[Descriptor, bytes]:
    """A blob of a few hundred kilobytes in the registry, and its bytes."""
    store = Store(tmp_path)
    image = packed(store, "streamed", [{"a": os.urandom(700_000)}])
    with Client(registry) as client:
        push(client, parse(f"{registry}/{_REPOSITORY}:1"), image, store.open)
    found = image.layers[0].blob
    return found, store.path(found.digest).read_bytes()


def test_it_is_read_from_anywhere(registry: str, blob: tuple[Descriptor, bytes]) -> None:
    """From the beginning, from a place that was sought, and to its end and no further."""
    described, content = blob
    with Client(registry) as client, stream(client, _REPOSITORY, described) as opened:
        assert opened.read(1000) == content[:1000]
        opened.seek(500_000)
        assert opened.read() == content[500_000:]
        assert opened.read(1) == b""
        opened.seek(-10, io.SEEK_END)
        assert opened.read() == content[-10:]
        opened.seek(10)
        assert (opened.tell(), opened.read(10)) == (10, content[10:20])


def test_it_goes_on_after_cuts(registry: str, blob: tuple[Descriptor, bytes]) -> None:
    """Only what is missing is asked for again."""
    described, content = blob

    def meddle(request: Request) -> Callable[[Answer], Answer] | None:
        if "/blobs/" not in request.path:
            return None
        start = int(request.headers.get("range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        return (
            (lambda answer: Answer(answer.status, answer.headers, answer.body, 300_000))
            if start < 500_000
            else None
        )

    with (
        between(registry, meddle) as web,
        Client(web.host) as client,
        stream(client, _REPOSITORY, described) as opened,
    ):
        assert opened.read() == content
    ranges = [request.headers.get("range") for request in web.seen if "/blobs/" in request.path]
    assert len(ranges) == 3
    assert ranges[0] is None
    assert all(ranges[1:])


@pytest.mark.parametrize("other", [b"x" * 10, b"x" * 10_000_000])
def test_other_bytes_are_not_given_to_the_end(
    registry: str, blob: tuple[Descriptor, bytes], other: bytes
) -> None:
    """Whoever sends them on never has the whole of what is wrong."""
    described, content = blob
    wrong = Answer(body=(content[:-10] + other)[: len(content)])
    read = bytearray()
    with (
        between(registry, lambda request: wrong if "/blobs/" in request.path else None) as web,
        Client(web.host) as client,
        stream(client, _REPOSITORY, described) as opened,
        pytest.raises(BlobDamaged, match="sends other bytes for blob"),
    ):
        while block := opened.read(100_000):
            read += block
    assert len(read) < described.size


def test_a_blob_that_is_not_there(registry: str) -> None:
    """It is told when it is read."""
    nothing = Descriptor("", f"sha256:{'0' * 64}", 10)
    with (
        Client(registry) as client,
        stream(client, _REPOSITORY, nothing) as opened,
        pytest.raises(RegistryRefused),
    ):
        opened.read()
