"""Files: look at those of an image, or put one on the engine's host, by a container that is never started."""

import io
import json
import shutil
import tarfile
import tempfile
import uuid
from collections.abc import Iterator, Mapping
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


def put_on_host(api: Any, folder: str, path: str, content: bytes) -> None:
    """Write a file below a folder of the host; what it takes is there, whatever images the engine has."""
    archive = _archive(path, content)
    scratch = api.import_image_from_data(_archive("empty", b""))
    image = json.loads(scratch.splitlines()[-1])["status"]
    try:
        with _container(api, image, {folder: {"bind": folder, "mode": "rw"}}) as container:
            api.put_archive(container, folder, archive)
    finally:
        api.remove_image(image)


def _archive(path: str, content: bytes) -> bytes:
    """A file and the folders above it, as a tar."""
    tar_file = io.BytesIO()
    with tarfile.open(fileobj=tar_file, mode="w") as tar:
        for above in reversed(PurePosixPath(path).parents[:-1]):
            member = tarfile.TarInfo(str(above))
            member.type, member.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(member)
        member = tarfile.TarInfo(path)
        member.size, member.mode = len(content), 0o644
        tar.addfile(member, io.BytesIO(content))
    return tar_file.getvalue()


@contextmanager
def _container(api: Any, image: str, binds: Mapping[str, Any] | None = None) -> Iterator[str]:
    """The name of a container that goes with the block; `binds` are folders of the host that it has."""
    name = f"cephtasks-look-{uuid.uuid4().hex[:12]}"
    with Interrupts() as interrupts:
        try:
            host = api.create_host_config(binds=binds)
            api.create_container(image, ["true"], name=name, labels={LABEL: "look"}, host_config=host)
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
