"""Downloads: fetch a blob of a repository, in whole or in part.

Spec: https://github.com/opencontainers/distribution-spec/blob/main/spec.md, Pulling blobs, and RFC 9110,
section 14, Range Requests.
"""

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import IO
from urllib.parse import urljoin

import requests

from cephtasks.errors import BlobDamaged
from cephtasks.oci import Descriptor
from cephtasks.registry import troubles
from cephtasks.registry.retries import persist
from cephtasks.registry.scopes import pull_scopes
from cephtasks.registry.transport import Client
from cephtasks.registry.uploads import OnProgress, shown_name, silent

_REDIRECTS = (301, 302, 303, 307, 308)
_MOST_REDIRECTS = 5
_PAST_THE_END = 416
_CHUNK = 1 << 18  # bytes; as much may be lost at a cut
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-")


def ranges(client: Client, repository: str, digest: str) -> Callable[[int, int], bytes]:
    """What reads `length` bytes of a blob from `offset`, and fewer where it ends before.

    It raises NotARegistry, and what the client raises.
    """

    def read_range(offset: int, length: int) -> bytes:
        taken = bytearray()
        with opened(client, repository, digest, offset, length) as chunks:
            for chunk in chunks:
                taken += chunk
                if len(taken) >= length:
                    break
        return bytes(taken[:length])

    return lambda offset, length: persist(lambda: read_range(offset, length))


def download(
    client: Client, repository: str, blob: Descriptor, sink: IO[bytes], on_progress: OnProgress = silent
) -> None:
    """Write a blob to `sink`; after a cut it goes on where it was.

    `on_progress` gets name, bytes done, bytes in all and a note. Raises BlobDamaged where the bytes are
    not those that the descriptor promises, NotARegistry, and what the client raises.
    """
    digest, done = hashlib.sha256(), 0

    def go_on() -> None:
        nonlocal done
        start = done
        with opened(client, repository, blob.digest, done) as chunks:
            for chunk in chunks:
                digest.update(chunk)
                sink.write(chunk)
                done += len(chunk)
                on_progress(shown_name(blob), done, blob.size, "")
                if done > blob.size:
                    return
        if start < done < blob.size:  # of an answer without a length nobody else sees that it was cut
            raise troubles.broke_off(client.base)

    persist(go_on, progress=lambda: done)
    if done != blob.size or f"sha256:{digest.hexdigest()}" != blob.digest:
        fact = f"{client.host} sends other bytes for blob {blob.digest} of {repository}"
        raise BlobDamaged(fact, "type the same again")


@contextmanager
def opened(
    client: Client, repository: str, digest: str, offset: int, length: int | None = None
) -> Iterator[Iterator[bytes]]:
    """The bytes of a blob from an offset on, at least as many as are asked for where it has them.

    Raises NotARegistry, and what the client raises, also while the bytes are read.
    """
    # What is compressed on the way would be other bytes, and no range of a blob can be.
    headers = {"Accept-Encoding": "identity"}
    if offset or length is not None:
        headers["Range"] = f"bytes={offset}-{'' if length is None else offset + length - 1}"
    with closing(_answer(client, repository, digest, headers)) as answer:
        if answer.status_code == _PAST_THE_END:
            yield iter(())
        else:
            yield _after(_content(answer), offset - _start(client, answer, offset))


def _answer(client: Client, repository: str, digest: str, headers: dict[str, str]) -> requests.Response:
    """A blob's answer, from wherever the registry keeps it; a login never goes to another host."""
    url, ok = f"/v2/{repository}/blobs/{digest}", (200, 206, _PAST_THE_END, *_REDIRECTS)
    for _ in range(1 + _MOST_REDIRECTS):
        answer = client.send("GET", url, f"blob {digest}", pull_scopes(repository), ok, headers, stream=True)
        if answer.status_code not in _REDIRECTS:
            return answer
        answer.close()
        url = _next(client, answer)
    raise troubles.not_a_registry(client.base, "its redirects never end")


def _next(client: Client, answer: requests.Response) -> str:
    location = answer.headers.get("Location", "")
    if not location:
        raise troubles.not_a_registry(client.base, "it redirects to no address")
    return urljoin(answer.url, location)


def _start(client: Client, answer: requests.Response, asked: int) -> int:
    """The offset at which an answer begins; a server need not know of ranges, and then sends it all."""
    if answer.status_code == 200:
        return 0
    found = _CONTENT_RANGE.match(answer.headers.get("Content-Range", ""))
    start = int(found[1]) if found else asked
    if start > asked:
        raise troubles.not_a_registry(client.base, "it sends another part of a blob than it was asked for")
    return start


def _content(answer: requests.Response) -> Iterator[bytes]:
    try:
        yield from answer.iter_content(_CHUNK)
    except troubles.FAILURES as error:
        trouble = troubles.from_exception(answer.url, error)
    else:
        return
    raise trouble  # without its cause, whose text may hold a signed URL


def _after(content: Iterator[bytes], skip: int) -> Iterator[bytes]:
    """What comes after the first bytes of a content."""
    for chunk in content:
        if len(chunk) > skip:
            yield chunk[skip:]
        skip -= min(skip, len(chunk))
