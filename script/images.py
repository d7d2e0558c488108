"""Images: make those that the demo needs, and with `test` those of the tests, where they are lacking."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from cephtasks import builder, builder_image, console, debian_image, rootfs, settings
from cephtasks.engine import Engine
from cephtasks.errors import CephtasksError
from cephtasks.rootfs import Recipe
from cephtasks.source import Source

MINICEPH_BASE = "cephtasks/miniceph-base:latest"
CEPH_BASE = "cephtasks/ceph-base:16"

_ROOT = Path(__file__).resolve().parent.parent
_BUILDER = _ROOT / "builders" / "debian"
_MINICEPH = _ROOT / "examples" / "miniceph"
_SCRATCH = _ROOT / ".cephtasks" / "miniceph-base"
_RELEASE_1 = "-DMINICEPH_RELEASE=1 -DWITH_TESTS=OFF"
_MINICEPH_CONFIG = (
    "ENV CEPH_DATA=/var/lib/ceph",
    "LABEL org.opencontainers.image.version=1.0.0-miniceph",
    'ENTRYPOINT ["/entrypoint.sh"]',
    'CMD ["ceph", "status"]',
)
_CEPH = ("ceph-mon", "ceph-mds", "ceph-osd", "ceph-mgr", "ceph-fuse", "ceph-common", "radosgw")
_CEPH_CONFIG = ("ENV LANG=C.UTF-8", 'CMD ["bash"]')


def make_builder(engine: Engine) -> None:
    """The builder image."""
    if not builder_image.is_made(builder.OUR_BUILDER, _BUILDER, engine):
        builder_image.make(builder.OUR_BUILDER, _BUILDER, engine)


def make_miniceph_base(engine: Engine) -> None:
    """Release 1 of miniceph on a small Debian, compiled anew where its source changed."""
    sources = {"/source": _MINICEPH / "src", "/CMakeLists.txt": _MINICEPH / "CMakeLists.txt"}
    key = debian_image.key_of(_miniceph(sources), (*_MINICEPH_CONFIG, _RELEASE_1))
    if debian_image.is_made(MINICEPH_BASE, key, engine):
        return
    console.say(f"{MINICEPH_BASE}: compiling release 1 of miniceph")
    tree = _compile(_SCRATCH, engine)
    debian_image.make(MINICEPH_BASE, _miniceph({"/": tree}), _MINICEPH_CONFIG, key, engine)
    shutil.rmtree(_SCRATCH)


def make_ceph_base(engine: Engine) -> None:
    """Debian's own Ceph."""
    recipe = Recipe(_CEPH)
    key = debian_image.key_of(recipe, _CEPH_CONFIG)
    if not debian_image.is_made(CEPH_BASE, key, engine):
        debian_image.make(CEPH_BASE, recipe, _CEPH_CONFIG, key, engine)


def main(words: list[str]) -> int:
    """Make all that are wanted; the exit code."""
    wanted: list[Callable[[Engine], None]] = [make_builder, make_miniceph_base]
    wanted += [make_ceph_base] if words == ["test"] else []
    try:
        engine = Engine.connect()
        try:
            for make in wanted:
                make(engine)
        finally:
            engine.close()
    except CephtasksError as error:
        console.say(str(error))
        return int(error.exit_code)
    except KeyboardInterrupt:
        console.say("error: stopped; nothing half is left\nhint: script/bootstrap")
        return 130
    return 0


def _compile(scratch: Path, engine: Engine) -> Path:
    """The install tree of release 1, whatever settings the user has; its log stays where this fails."""
    if scratch.exists():
        shutil.rmtree(scratch)
    folder = scratch / "source"
    shutil.copytree(_MINICEPH, folder, ignore=shutil.ignore_patterns("build"))
    flags = {"CONFIGURE_FLAGS": _RELEASE_1, "STATE_DIR": str(scratch / "state"), "SOURCE_DIR": str(folder)}
    given = settings.load(flags, folder=scratch, environment={})
    return builder.compile(Source(folder, None, False, "", None), given, engine).tree


def _miniceph(files: dict[str, Path]) -> Recipe:
    base = _MINICEPH / "base"
    return Recipe(
        rootfs.packages_in(base / "packages.txt"), {**files, "/entrypoint.sh": base / "entrypoint.sh"}
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
