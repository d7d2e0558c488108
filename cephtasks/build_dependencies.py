"""Build dependencies: install in a builder image what a source tree asks for to be compiled."""

from dataclasses import replace
from pathlib import Path

from cephtasks import builder_image, console
from cephtasks.builder import MOUNTED_AT
from cephtasks.engine import Engine, Mount, RunSpec
from cephtasks.errors import DependenciesFailed, DependenciesUnknown, Interrupted
from cephtasks.reference import DEFAULT_TAG, parse

_ASKING = ("install-deps.sh", "debian/control", "*.spec")
# The tree is not to be written to, and installing may: mk-build-deps leaves packages where it is called.
_INSTALL = f"""
set -e
mkdir /tmp/source
cd /tmp/source
for each in {MOUNTED_AT}/* {MOUNTED_AT}/.[!.]*; do
    case $each in
        */build | */.git | *'*') ;;
        *) cp -a "$each" . ;;
    esac
done
export DEBIAN_FRONTEND=noninteractive
if [ -e install-deps.sh ]; then
    ! command -v apt-get >/dev/null || apt-get --quiet update
    bash ./install-deps.sh
elif [ -e debian/control ] && command -v apt-get >/dev/null; then
    apt-get --quiet update
    apt-get --quiet --yes --no-install-recommends build-dep ./
elif command -v dnf >/dev/null; then
    dnf --assumeyes builddep ./*.spec
else
    echo "nothing in the tree is for the packages of this image" >&2
    exit 1
fi
cd /
rm -rf /tmp/source /var/lib/apt/lists/*
"""


def make(name: str, folder: Path, source: Path, engine: Engine, base: str = "") -> str:
    """Make a builder image as `builder_image.make` does, with what a source tree asks for; give the name.

    The name is given once all is in it. Raises DependenciesUnknown, DependenciesFailed, ImageNotFound,
    ContainerFailed, and what `builder_image.make` raises.
    """
    if not any(found for pattern in _ASKING for found in source.glob(pattern)):
        raise DependenciesUnknown(
            f"{source} has no install-deps.sh, no debian/control and no spec file",
            f"ls {source}, or add what it needs to {folder / 'packages.txt'}",
        )
    named = parse(name)
    plain = replace(named, tag=f"{named.tag or DEFAULT_TAG}-plain").familiar
    builder_image.make(plain, folder, engine, base)
    try:
        _install(plain, source, name, engine)
    finally:
        engine.untag(plain)
    return name


def _install(image: str, source: Path, name: str, engine: Engine) -> None:
    """Have a container, as root but with the tree only to read, install what the tree asks for."""
    console.say(f"{name}: installing what {source} asks for")
    spec = RunSpec(
        image=image,
        command=("sh", "-c", _INSTALL),
        mounts=(Mount(source.resolve(), MOUNTED_AT, read_only=True),),
        network="bridge",
        purpose="dependencies",
    )
    try:
        result = engine.amend(spec, name, builder_image.CONFIG, console.stream, console.stream)
    except KeyboardInterrupt as error:
        raise Interrupted(
            f"making {name} was stopped; nothing half is left", "type the same again"
        ) from error
    if result.exit_code:
        raise DependenciesFailed(
            f"what {source} asks for could not be installed: exit code {result.exit_code}",
            "mend what the last lines say, and type the same again",
        )
