"""Users: do something without root's rights."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NOBODY = 65534


@contextmanager
def as_nobody() -> Iterator[None]:
    """Be a user who owns nothing, for as long as the block lasts; whoever is not root stays who they are."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(_NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)


@contextmanager
def public_folder() -> Iterator[Path]:
    """A folder whose parents every user may enter."""
    folder = Path(tempfile.mkdtemp(prefix="cephtasks-test-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
