"""Verification: read back from a registry every byte of the blobs that an image needs."""

import os
import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from cephtasks.errors import BlobDamaged, PushNotKept
from cephtasks.jobs import Stopped, run_all
from cephtasks.oci import Descriptor
from cephtasks.reference import Reference
from cephtasks.registry.downloads import download
from cephtasks.registry.transport import Client
from cephtasks.registry.uploads import OnProgress


def verify(
    client: Client, reference: Reference, blobs: Sequence[Descriptor], on_progress: OnProgress, threads: int
) -> None:
    """Read all these blobs of a repository. Raises PushNotKept where one is not what its digest says."""
    run_all([partial(_read, client, reference, blob, on_progress) for blob in blobs], threads)


def _read(
    client: Client, reference: Reference, blob: Descriptor, on_progress: OnProgress, stop: threading.Event
) -> None:
    def going_on(name: str, done: int, total: int | None, note: str) -> None:
        if stop.is_set():
            raise Stopped
        on_progress(name, done, total, "verifying")

    try:
        with Path(os.devnull).open("wb") as sink:
            download(client, reference.repository, blob, sink, going_on)
    except BlobDamaged as error:
        raise PushNotKept(error.fact, f"look at the storage of {client.host}: it is damaged") from error
