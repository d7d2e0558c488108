"""Debian image: make an image from a Debian file system."""

import hashlib
import json
from collections.abc import Sequence

from cephtasks import console, rootfs
from cephtasks.engine import Engine, EngineImage
from cephtasks.errors import EngineRefused
from cephtasks.rootfs import Recipe

KEY_LABEL = "cephtasks.recipe"


def make(name: str, recipe: Recipe, config: Sequence[str], key: str, engine: Engine) -> str:
    """Make an image by mmdebstrap, its output live on stderr, and give its id; one of that name is replaced.

    `config` are Dockerfile lines (CMD, ENV, …); `key` goes into a label, for `is_made`.
    Raises MmdebstrapMissing, RootfsFailed, EngineRefused.
    """
    changes = [*config, f"LABEL {KEY_LABEL}={key}"]
    if engine.dry:
        return engine.import_tar([], name, changes)
    replaced = engine.image(name)
    with rootfs.packed(recipe, console.stream) as chunks:
        made = engine.import_tar(chunks, name, changes)
    if replaced is not None:
        _drop(replaced, engine)
    return made


def key_of(recipe: Recipe, config: Sequence[str]) -> str:
    """What tells images of another recipe or config apart: 64 hexadecimal digits. Raises RootfsFailed."""
    return hashlib.sha256(json.dumps([recipe.digest(), *config]).encode()).hexdigest()


def is_made(name: str, key: str, engine: Engine) -> bool:
    """Whether the engine has an image of that name that was made with that key."""
    found = engine.image(name)
    return found is not None and found.labels.get(KEY_LABEL) == key


def _drop(replaced: EngineImage, engine: Engine) -> None:
    """Take an image away that has no name any more, so that making it often does not fill the disk."""
    found = engine.image(replaced.id)
    if found is None or found.tags:
        return
    try:
        engine.untag(replaced.id)
    except EngineRefused as error:
        console.say(f"the image that was replaced stays: {error.fact}")
