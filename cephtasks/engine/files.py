"""Files: look at what is in an image, through a container that is never started."""

import shutil
import tarfile
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import IO, Any

import docker.errors

from cephtasks.engine.containers import LABEL, remove
from cephtasks.engine.interrupts import Interrupts


def copy_out(api: Any, image: str, path: str, sink: IO[bytes]) -> None:
    """Write a file of an image to `sink`."""
    with _container(api, image) as name:
        chunks, _ = api.get_archive(name, f"/{path}")
        with tempfile.TemporaryFile() as archive:
            archive.writelines(chunks)
            archive.seek(0)
            _unpack_file(archive, sink)


def has_program(api: Any, image: str, name: str, search: str) -> bool:
    """Whether an image has a program of that name in one of the folders of `search`, its PATH."""
    folders = [PurePosixPath(folder) for folder in search.split(":") if folder.startswith("/")]
    with _container(api, image) as container:
        return any(_exists(api, container, folder / name) for folder in folders)


@contextmanager
def _container(api: Any, image: str) -> Iterator[str]:
    """The name of a container that goes with the block."""
    name = f"cephtasks-look-{uuid.uuid4().hex[:12]}"
    with Interrupts() as interrupts:
        try:
            api.create_container(image, ["true"], name=name, labels={LABEL: "look"})
            with interrupts.welcome():
                yield name
        finally:
            remove(api, name)


def _exists(api: Any, container: str, path: PurePosixPath) -> bool:
    try:
        chunks, _ = api.get_archive(container, str(path))
    except docker.errors.NotFound:
        return False
    chunks.close()
    return True


def _unpack_file(archive: IO[bytes], sink: IO[bytes]) -> None:
    with tarfile.open(fileobj=archive) as tar:
        content = tar.extractfile(tar.getmembers()[0])
        if content is not None:
            shutil.copyfileobj(content, sink)
