"""Blobs: bring one blob into a repository, unless it is there.

Spec: https://github.com/opencontainers/distribution-spec/blob/main/spec.md, Pushing Blobs.
"""

import contextlib
import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

from cephtasks.errors import BlobDamaged, CephtasksError, RegistryRefused, RegistryUnauthorized
from cephtasks.oci import Descriptor
from cephtasks.registry import troubles
from cephtasks.registry.address import with_query
from cephtasks.registry.scopes import push_scopes
from cephtasks.registry.transport import Body, Client
from cephtasks.registry.workers import Stopped

UPLOADED, MOUNTED, PRESENT = "uploaded", "mounted", "present"
_REDIRECTS = (302, 303, 307, 308)  # to where the registry stores the blob that it has
_CANCEL_TIMEOUT = (2.0, 2.0)
_SHOWN_DIGITS = 12

OpenBlob = Callable[[str], IO[bytes]]
OnProgress = Callable[[str, int, int | None, str], None]


def silent(name: str, done: int, total: int | None, note: str) -> None:
    """Report nothing."""


def shown_name(blob: Descriptor) -> str:
    """The name under which a blob's progress is reported."""
    return blob.digest.removeprefix("sha256:")[:_SHOWN_DIGITS]


@dataclass(frozen=True)
class Upload:
    """A blob to bring into a repository; `source` may name one of the same registry that has it."""

    repository: str
    blob: Descriptor
    open_blob: OpenBlob
    on_progress: OnProgress
    source: str = ""

    @property
    def what(self) -> str:
        """The blob's name in errors."""
        return f"blob {self.blob.digest}"

    @property
    def scopes(self) -> tuple[str, ...]:
        """What a login must allow."""
        return push_scopes(self.repository)

    def tell(self, done: int, note: str) -> None:
        """Report how many bytes are through."""
        self.on_progress(shown_name(self.blob), done, self.blob.size, note)


def is_present(client: Client, repository: str, blob: Descriptor) -> bool:
    """Whether the registry says that the repository has the blob."""
    answer = client.send(
        "HEAD",
        f"/v2/{repository}/blobs/{blob.digest}",
        f"blob {blob.digest}",
        push_scopes(repository),
        ok=(200, 404, *_REDIRECTS),
    )
    return answer.status_code != 404


def bring(client: Client, upload: Upload, stop: threading.Event) -> str:
    """Bring a blob in by the cheapest way that works; `present`, `mounted` or `uploaded`.

    Raises Stopped once `stop` is set, BlobDamaged, and what the client raises.
    """
    if is_present(client, upload.repository, upload.blob):
        upload.tell(upload.blob.size, PRESENT)
        return PRESENT
    return deliver(client, upload, stop)


def deliver(client: Client, upload: Upload, stop: threading.Event) -> str:
    """Mount or upload a blob without asking whether it is there; `mounted` or `uploaded`."""
    location = _begin(client, upload)
    if not location:
        upload.tell(upload.blob.size, MOUNTED)
        return MOUNTED
    try:
        _put(client, upload, location, stop)
    except BaseException:
        _cancel(client, upload, location)
        raise
    upload.tell(upload.blob.size, UPLOADED)
    return UPLOADED


def show(client: Client, upload: Upload) -> None:
    """Show the requests that would mount or upload a blob, which need not be here for that."""
    digest, target = upload.blob.digest, f"/v2/{upload.repository}/blobs/uploads/"
    if upload.source:
        client.show("POST", _mounting(upload))
        return
    client.show("POST", target)
    client.show("PUT", with_query(f"{target}LOCATION", digest=digest), body_name=digest)


def _mounting(upload: Upload) -> str:
    target = f"/v2/{upload.repository}/blobs/uploads/"
    return with_query(target, **{"mount": upload.blob.digest, "from": upload.source})


def _begin(client: Client, upload: Upload) -> str:
    """The URL of a new upload session, or nothing where the registry mounted the blob instead."""
    target = f"/v2/{upload.repository}/blobs/uploads/"
    if upload.source:
        scopes = (*upload.scopes, f"repository:{upload.source}:pull")
        # A registry may also refuse a mount that it cannot or may not make: then it gets the bytes.
        with contextlib.suppress(RegistryRefused, RegistryUnauthorized):
            answer = client.send("POST", _mounting(upload), upload.what, scopes, ok=(201, 202))
            if answer.status_code == 201:
                return ""
            return _location(client, answer.headers.get("Location", ""))
    answer = client.send("POST", target, upload.what, upload.scopes, ok=(202,))
    return _location(client, answer.headers.get("Location", ""))


def _location(client: Client, header: str) -> str:
    if not header:
        raise troubles.not_a_registry(client.base, "it does not say where to upload to")
    return header


def _put(client: Client, upload: Upload, location: str, stop: threading.Event) -> None:
    try:
        client.send(
            "PUT",
            with_query(location, digest=upload.blob.digest),
            upload.what,
            upload.scopes,
            ok=(201, 204),
            headers={"Content-Type": "application/octet-stream"},
            body=_body(upload, stop),
            body_name=upload.blob.digest,
        )
    except RegistryRefused as error:
        if error.error_code == "DIGEST_INVALID":
            _require_whole(upload)
        raise


def _cancel(client: Client, upload: Upload, location: str) -> None:
    """Have the registry drop what it got of a broken upload; one that cannot will do so in its own time."""
    with contextlib.suppress(CephtasksError):
        client.send(
            "DELETE", location, upload.what, upload.scopes, ok=(202, 204, 404), timeout=_CANCEL_TIMEOUT
        )


def _body(upload: Upload, stop: threading.Event) -> Body:
    if not upload.blob.size:
        return b""

    @contextmanager
    def opened() -> Iterator[_Content]:
        with upload.open_blob(upload.blob.digest) as stream:
            yield _Content(upload, stream, stop)

    return opened


class _Content:
    """A blob's bytes on their way: no more and no fewer than its descriptor says."""

    def __init__(self, upload: Upload, stream: IO[bytes], stop: threading.Event) -> None:
        self._upload = upload
        self._stream = stream
        self._stop = stop
        self._done = 0

    def __len__(self) -> int:
        return self._upload.blob.size

    def read(self, count: int = -1, /) -> bytes:
        """The next bytes; raises Stopped, BlobDamaged."""
        if self._stop.is_set():
            raise Stopped
        left = len(self) - self._done
        try:
            block = self._stream.read(left if count < 0 else min(count, left))
        except OSError as error:
            raise _damaged(self._upload, self._stream, f"cannot be read: {error.strerror}") from error
        if left and not block:
            raise _damaged(self._upload, self._stream, f"has {self._done} bytes, not {len(self)}")
        self._done += len(block)
        self._upload.tell(self._done, "")
        return block


def _require_whole(upload: Upload) -> None:
    """Tell a blob that is damaged here from one that was damaged on its way."""
    with upload.open_blob(upload.blob.digest) as stream:
        found = f"sha256:{hashlib.file_digest(stream, 'sha256').hexdigest()}"  # type: ignore[arg-type]
        if found != upload.blob.digest:
            raise _damaged(upload, stream, f"holds the bytes of {found}")


def _damaged(upload: Upload, stream: IO[bytes], how: str) -> BlobDamaged:
    return BlobDamaged(f"{upload.what} {how}", f"rm {stream.name}; invoke pack")
