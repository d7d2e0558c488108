"""Streams: read a blob of a registry as a file, from its beginning or from anywhere."""

import hashlib
import io
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

from cephtasks.errors import BlobDamaged, CephtasksError
from cephtasks.oci import Descriptor
from cephtasks.registry import troubles
from cephtasks.registry.downloads import opened
from cephtasks.registry.retries import persist
from cephtasks.registry.transport import Client

_BUFFER = 1 << 18


def stream(client: Client, repository: str, blob: Descriptor) -> io.BufferedReader:
    """A blob as a file that can seek; what is not read is not fetched.

    Read from its beginning to its end, it raises BlobDamaged before its last bytes where these are not
    what its descriptor promises. Raises NotARegistry, and what the client raises.
    """
    return io.BufferedReader(_Remote(client, repository, blob), _BUFFER)


class _Remote(io.RawIOBase):
    """The bytes of a blob, in order, hashed for as long as none was left out."""

    def __init__(self, client: Client, repository: str, blob: Descriptor) -> None:
        self.name = f"{client.host}/{repository}@{blob.digest}"
        self._client = client
        self._repository = repository
        self._blob = blob
        self._position = 0
        self._hashed = hashlib.sha256()
        self._is_hashed = True
        self._answer = ExitStack()
        self._chunks: Iterator[bytes] | None = None
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._blob.size}[whence]
        if start + offset != self._position:
            self._position, self._is_hashed = start + offset, False
            self._drop()
        return self._position

    def readinto(self, buffer: Any, /) -> int:
        block = self._next(len(buffer))
        buffer[: len(block)] = block
        return len(block)

    def close(self) -> None:
        self._drop()
        super().close()

    def _next(self, count: int) -> memoryview:
        if self._position >= self._blob.size:
            return memoryview(b"")
        if not self._left:
            self._left = persist(self._chunk, progress=lambda: self._position)
        block, self._left = self._left[:count], self._left[count:]
        self._position += len(block)
        self._hashed.update(block)
        if self._position >= self._blob.size and self._is_hashed and self._is_other():
            fact = f"{self._client.host} sends other bytes for blob {self._blob.digest} of {self._repository}"
            raise BlobDamaged(fact, "type the same again")
        return block

    def _chunk(self) -> memoryview:
        """The next bytes as they come; after a failure those of another answer, from where this one ended."""
        try:
            if self._chunks is None:
                asked = opened(self._client, self._repository, self._blob.digest, self._position)
                self._chunks = self._answer.enter_context(asked)
            chunk = next(self._chunks, b"")
            if not chunk:
                raise troubles.broke_off(self._client.base)
        except CephtasksError:
            self._drop()
            raise
        return memoryview(chunk)

    def _is_other(self) -> bool:
        return f"sha256:{self._hashed.hexdigest()}" != self._blob.digest

    def _drop(self) -> None:
        self._answer.close()
        self._chunks, self._left = None, memoryview(b"")
