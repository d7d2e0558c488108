"""Blobs: bring one blob into a repository, unless it is there.

Spec: https://github.com/opencontainers/distribution-spec/blob/main/spec.md, Pushing Blobs.
"""

import threading
from collections.abc import Callable
from functools import partial

from cephtasks.errors import RegistryRefused, RegistryUnauthorized
from cephtasks.oci import Descriptor
from cephtasks.registry import uploads
from cephtasks.registry.address import with_query
from cephtasks.registry.retries import persist
from cephtasks.registry.scopes import pull_scopes, push_scopes
from cephtasks.registry.transport import Client
from cephtasks.registry.uploads import Upload

UPLOADED, MOUNTED, PRESENT = "uploaded", "mounted", "present"
_REDIRECTS = (302, 303, 307, 308)  # to where the registry stores the blob that it has


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

    What fails and may pass is done again. Raises Stopped once `stop` is set, BlobDamaged, UploadLost, and
    what the client raises.
    """
    present = partial(is_present, client, upload.repository, upload.blob)
    if persist(present, stop):
        upload.tell(upload.blob.size, PRESENT)
        return PRESENT
    return _deliver(client, upload, stop, present)


def deliver(client: Client, upload: Upload, stop: threading.Event) -> str:
    """Mount or upload a blob without asking whether it is there; `mounted` or `uploaded`."""
    return _deliver(client, upload, stop, lambda: False)


def show(client: Client, upload: Upload) -> None:
    """Show the requests that would mount or upload a blob, which need not be here for that."""
    if upload.source:
        client.show("POST", _mounting(upload))
        return
    client.show("POST", upload.target)
    url = with_query(f"{upload.target}LOCATION", digest=upload.blob.digest)
    client.show("PUT", url, body_name=upload.blob.digest)


def _deliver(client: Client, upload: Upload, stop: threading.Event, is_present: Callable[[], bool]) -> str:
    location = _mounted(client, upload, stop) if upload.source else ""
    if location is None:
        upload.tell(upload.blob.size, MOUNTED)
        return MOUNTED
    uploads.send(client, upload, stop, is_present, location)
    upload.tell(upload.blob.size, UPLOADED)
    return UPLOADED


def _mounted(client: Client, upload: Upload, stop: threading.Event) -> str | None:
    """None of a blob that the registry mounted; else where it wants the bytes instead, if it says so.

    A registry may also refuse a mount that it cannot or may not make.
    """
    scopes = (*upload.scopes, *pull_scopes(upload.source))
    mount = partial(client.send, "POST", _mounting(upload), upload.what, scopes, ok=(201, 202))
    try:
        answer = persist(mount, stop)
    except (RegistryRefused, RegistryUnauthorized):
        return ""
    return None if answer.status_code == 201 else answer.headers.get("Location", "")


def _mounting(upload: Upload) -> str:
    return with_query(upload.target, **{"mount": upload.blob.digest, "from": upload.source})
