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

from cephtasks.errors import BlobDamaged, RegistryUnreachable
from cephtasks.oci import Descriptor
from cephtasks.registry import troubles
from cephtasks.registry.blobs import OnProgress, pull_scopes, shown_name, silent
from cephtasks.registry.retries import persist
from cephtasks.registry.transport import Client

_REDIRECTS = (301, 302, 303, 307, 308)
_MOST_REDIRECTS = 5
_PAST_THE_END = 416
_CHUNK = 1 << 20
_CONTENT_RANGE = re.compile(r"bytes (\d+)-")


def ranges(client: Client, repository: str, digest: str) -> Callable[[int, int], bytes]:
    """What reads `length` bytes of a blob from `offset`, and fewer where it ends before.

    It raises NotARegistry, and what the client raises.
    """

    def read_range(offset: int, length: int) -> bytes:
        taken = bytearray()
        with _opened(client, repository, digest, offset, length) as chunks:
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
        with _opened(client, repository, blob.digest, done) as chunks:
            for chunk in chunks:
                digest.update(chunk)
                sink.write(chunk)
                done += len(chunk)
                on_progress(shown_name(blob), done, blob.size, "")
                if done > blob.size:
                    return
        _require_progress(client, blob, done)

    persist(go_on)
    if done != blob.size or f"sha256:{digest.hexdigest()}" != blob.digest:
        fact = f"{client.host} sends other bytes for blob {blob.digest} of {repository}"
        raise BlobDamaged(fact, "type the same again")
