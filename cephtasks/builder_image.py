"""Builder image: make the image with the compilers from its folder in builders/."""

import re
from pathlib import Path

from cephtasks import console, debian_image, rootfs
from cephtasks.engine import Engine
from cephtasks.errors import BuilderFolderInvalid, Interrupted, PullFailed
from cephtasks.rootfs import Recipe

_PARTS = ("Dockerfile", "packages.txt", "build-cmake")
_BASE = re.compile(r"^ARG BASE=(\S+)$", re.MULTILINE)
CONFIG = ("WORKDIR /ceph", 'CMD ["build-cmake"]')
FOLDER_LABEL = "cephtasks.builder"  # names the folder that an image was made from


def make(name: str, folder: Path, engine: Engine, base: str = "") -> str:
    """Make the builder image under a name, anew, and give the name.

    By `docker build` on `base`, or else on the base that the Dockerfile names. Where that cannot be had and
    the packages are Debian's, mmdebstrap takes them from this machine's apt sources.
    Raises BuilderFolderInvalid, PullFailed, MmdebstrapMissing, RootfsFailed, EngineRefused, Interrupted.
    """
    own = base_of(folder)
    bootstraps = not base and _is_debian(folder)
    try:
        if _can_be_had(base or own, engine, bootstraps):
            console.say(f"{name}: docker build on {base or own}")
            arguments = {"BASE": base} if base else {}
            engine.build(folder, name, console.say, arguments, {FOLDER_LABEL: folder.name})
        else:
            console.say(f"{name}: mmdebstrap of {rootfs.release()}, from this machine's apt sources")
            recipe = _recipe(folder)
            debian_image.make(name, recipe, _config(folder), _key(folder), engine)
    except KeyboardInterrupt as error:
        raise Interrupted(
            f"making {name} was stopped; nothing half is left", "type the same again"
        ) from error
    return name


def is_made(name: str, folder: Path, engine: Engine) -> bool:
    """Whether the engine has the builder image, made by mmdebstrap of just what the folder holds.

    What `docker build` made is for its cache to know. Raises BuilderFolderInvalid.
    """
    base_of(folder)
    return debian_image.is_made(name, _key(folder), engine)


def base_of(folder: Path) -> str:
    """The image that the folder's Dockerfile starts from. Raises BuilderFolderInvalid."""
    if not folder.is_dir():
        raise BuilderFolderInvalid(f"there is no folder {folder}", "invoke builder.list")
    for part in _PARTS:
        if not (folder / part).is_file():
            raise BuilderFolderInvalid(f"the builder's folder {folder} has no {part}", f"ls {folder}")
    found = _BASE.search((folder / "Dockerfile").read_text())
    if found is None:
        raise BuilderFolderInvalid(f"{folder / 'Dockerfile'} has no line ARG BASE=IMAGE", f"ls {folder}")
    return found[1]


def _is_debian(folder: Path) -> bool:
    """Whether the packages are Debian's, by the Dockerfile, which installs them."""
    return "apt-get" in (folder / "Dockerfile").read_text()


def _config(folder: Path) -> tuple[str, ...]:
    return (*CONFIG, f"LABEL {FOLDER_LABEL}={folder.name}")


def _key(folder: Path) -> str:
    return debian_image.key_of(_recipe(folder), _config(folder))


def _recipe(folder: Path) -> Recipe:
    """What the Dockerfile says, for mmdebstrap; both read the one list of packages."""
    files = {"/usr/local/bin/build-cmake": folder / "build-cmake"}
    return Recipe(rootfs.packages_in(folder / "packages.txt"), files)


def _can_be_had(base: str, engine: Engine, bootstraps: bool) -> bool:
    """Whether the engine has the base or can pull it; raises PullFailed where there is no other way."""
    if engine.image(base) is not None:
        return True
    console.say(f"pulling {base}")
    try:
        with console.bars() as bars:
            engine.pull(base, bars.update)
    except PullFailed as error:
        if not bootstraps:
            raise
        console.say(error.fact)
        return False
    return True
