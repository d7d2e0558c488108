"""Uploads: send a blob's bytes, in one piece or in several, going on after a cut where the registry can.

Spec: https://github.com/opencontainers/distribution-spec/blob/main/spec.md, Pushing a blob in chunks.
"""

import contextlib
import hashlib
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import IO

from cephtasks import console
from cephtasks.errors import BlobDamaged, CephtasksError, RegistryRefused, RegistryUnauthorized, UploadLost
from cephtasks.jobs import Stopped
from cephtasks.oci import Descriptor
from cephtasks.registry.address import with_query
from cephtasks.registry.retries import may_pass, persist
from cephtasks.registry.scopes import Scopes, push_scopes
from cephtasks.registry.transport import Body, Client

_FIRST_PIECE = 8 << 20  # bytes, where a proxy takes no whole blob
_LEAST_PIECE = 1 << 16  # bytes; who takes no more than this takes no images
_TOO_LARGE = 413
_CANCEL_TIMEOUT = (2.0, 2.0)
_SHOWN_DIGITS = 12
_RECEIVED = re.compile(r"(?:bytes=)?0-([0-9]{1,18})")
# What registries say to an upload that does not fit what they have; it has to begin again.
_DEAD_CODES = frozenset({"BLOB_UPLOAD_UNKNOWN", "BLOB_UPLOAD_INVALID", "DIGEST_INVALID"})
_RANGE_NOT_SATISFIABLE = 416

OpenBlob = Callable[[str], IO[bytes]]
OnProgress = Callable[[str, int, int | None, str], None]


def silent(name: str, done: int, total: int | None, note: str) -> None:
    """Report nothing."""


def shown_name(blob: Descriptor) -> str:
    """The name under which a blob's progress is reported."""
    return blob.digest.removeprefix("sha256:")[:_SHOWN_DIGITS]


class Pieces:
    """The bytes that one request may carry on the way to a registry; 0: any number, until a proxy objects."""

    def __init__(self, size: int = 0) -> None:
        self.size = size

    def shrink(self, refused: int) -> bool:
        """Learn that so many bytes are too many; whether there is anything left to try."""
        if not self.size or refused <= self.size:
            self.size = min(_FIRST_PIECE, refused // 2)
        return self.size >= _LEAST_PIECE


@dataclass(frozen=True)
class Upload:
    """A blob to bring into a repository; `source` may name one of the same registry that has it.

    `open_blob` gives the blob's bytes by its digest, as a stream that can seek.
    """

    repository: str
    blob: Descriptor
    open_blob: OpenBlob
    on_progress: OnProgress
    source: str = ""
    pieces: Pieces = field(default_factory=Pieces)

    @property
    def what(self) -> str:
        """The blob's name in errors."""
        return f"blob {self.blob.digest}"

    @property
    def scopes(self) -> Scopes:
        """What a login must allow."""
        return push_scopes(self.repository)

    @property
    def target(self) -> str:
        """Where uploads to the repository begin."""
        return f"/v2/{self.repository}/blobs/uploads/"

    def tell(self, done: int, note: str) -> None:
        """Report how many bytes are through."""
        self.on_progress(shown_name(self.blob), done, self.blob.size, note)


@dataclass
class _Session:
    """An upload that the registry knows: where it goes on, and how much the registry has of it for sure.

    `sent` is how much it may have; of one that is `broken` only the registry can tell. `furthest` is how
    much was ever kept.
    """

    location: str = ""
    kept: int = 0
    sent: int = 0
    furthest: int = 0
    broken: bool = False

    def keep(self, count: int, location: str) -> None:
        """Go on after so many bytes."""
        self.kept, self.location = count, location
        self.furthest = max(self.furthest, count)


def send(
    client: Client,
    upload: Upload,
    stop: threading.Event,
    is_present: Callable[[], bool],
    location: str = "",
) -> None:
    """Send a blob, again after a failure that may pass; `location` may be of an upload that has begun.

    `is_present` tells, of an upload that the registry no longer knows, whether it had ended well.
    Raises Stopped once `stop` is set, BlobDamaged, UploadLost, and what the client raises.
    """
    session = _Session(location)
    try:
        persist(partial(_attempt, client, upload, session, stop, is_present), stop, lambda: session.furthest)
    except BaseException:
        _drop(client, upload, session)
        raise


def _location_of(client: Client, headers: Mapping[str, str]) -> str:
    """Where the registry says that an upload goes on. Raises UploadLost."""
    location = headers.get("Location", "")
    if not location:
        raise UploadLost(
            f"{client.host} does not say where to upload to", f"curl --include {client.base}/v2/"
        )
    return location


def _attempt(
    client: Client, upload: Upload, session: _Session, stop: threading.Event, is_present: Callable[[], bool]
) -> None:
    if session.broken and session.location:
        _catch_up(client, upload, session)
    if session.broken and not session.location and is_present():
        return
    if not session.location:
        answer = client.send("POST", upload.target, upload.what, upload.scopes, ok=(202,))
        session.location = _location_of(client, answer.headers)
    session.broken = True
    try:
        while not _next_piece(client, upload, session, stop):
            pass
    except RegistryRefused as error:
        if error.status != _RANGE_NOT_SATISFIABLE and error.error_code not in _DEAD_CODES:
            raise
        if error.error_code == "DIGEST_INVALID":
            _require_whole(upload)
        _drop(client, upload, session)
        raise UploadLost(error.fact, error.hint) from error


def _next_piece(client: Client, upload: Upload, session: _Session, stop: threading.Event) -> bool:
    """Send as much as one request may carry; whether that was the last of it."""
    start, whole = session.kept, upload.blob.size
    session.sent = end = min(whole, start + upload.pieces.size) if upload.pieces.size else whole
    is_last = end == whole
    headers = {"Content-Type": "application/octet-stream"}
    if 0 < end - start < whole:
        headers["Content-Range"] = f"{start}-{end - 1}"
    try:
        answer = client.send(
            "PUT" if is_last else "PATCH",
            with_query(session.location, digest=upload.blob.digest) if is_last else session.location,
            upload.what,
            upload.scopes,
            ok=(201, 204) if is_last else (202,),
            headers=headers,
            body=_body(upload, start, end, stop),
            body_name=upload.blob.digest,
        )
    except RegistryRefused as error:
        if error.status != _TOO_LARGE or not upload.pieces.shrink(end - start):
            raise
        console.say(f"{client.host} takes no {console.size(end - start)} at once: sending smaller pieces")
        return False
    if not is_last:
        session.keep(end, _location_of(client, answer.headers))
    return is_last


def _catch_up(client: Client, upload: Upload, session: _Session) -> None:
    """Ask how much of a broken upload the registry has; one that does not fit is dropped."""
    try:
        answer = client.send("GET", session.location, upload.what, upload.scopes, ok=(200, 202, 204))
    except (RegistryRefused, RegistryUnauthorized) as error:
        if may_pass(error):
            raise
        _drop(client, upload, session)
        return
    received = bytes_kept(answer.headers.get("Range", ""))
    if received is None or not session.kept <= received <= session.sent:
        _drop(client, upload, session)
    else:
        session.keep(received, answer.headers.get("Location") or session.location)


def bytes_kept(header: str) -> int | None:
    """The bytes that a Range header tells of; registries write 0-0 for none."""
    match = _RECEIVED.fullmatch(header.strip())
    return None if match is None else int(match[1]) + 1 if int(match[1]) else 0


def _drop(client: Client, upload: Upload, session: _Session) -> None:
    """Have the registry forget an upload; one that cannot will do so in its own time."""
    location, session.location = session.location, ""
    session.kept = session.sent = 0
    if location:
        with contextlib.suppress(CephtasksError):
            gone = (202, 204, 404)
            client.send("DELETE", location, upload.what, upload.scopes, ok=gone, timeout=_CANCEL_TIMEOUT)


def _body(upload: Upload, start: int, end: int, stop: threading.Event) -> Body:
    if start == end:
        return b""

    @contextmanager
    def opened() -> Iterator[_Content]:
        with upload.open_blob(upload.blob.digest) as stream:
            if start:
                stream.seek(start)
            yield _Content(upload, stream, start, end, stop)

    return opened


class _Content:
    """A blob's bytes on their way, from `start` to `end`: no more and no fewer."""

    def __init__(
        self, upload: Upload, stream: IO[bytes], start: int, end: int, stop: threading.Event
    ) -> None:
        self._upload = upload
        self._stream = stream
        self._length = end - start
        self._end = end
        self._done = start
        self._stop = stop

    def __len__(self) -> int:
        return self._length

    def read(self, count: int = -1, /) -> bytes:
        """The next bytes; raises Stopped, BlobDamaged."""
        if self._stop.is_set():
            raise Stopped
        left = self._end - self._done
        try:
            block = self._stream.read(left if count < 0 else min(count, left))
        except OSError as error:
            raise _damaged(self._upload, self._stream, f"cannot be read: {error.strerror}") from error
        if left and not block:
            whole = self._upload.blob.size
            raise _damaged(self._upload, self._stream, f"has {self._done} bytes, not {whole}")
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
