"""Launcher: start compilers through ccache or its like."""

from collections.abc import Mapping

from cephtasks.builder import cache
from cephtasks.engine import Engine, EngineImage
from cephtasks.errors import LauncherMissing
from cephtasks.settings import Settings

NONE = "none"
_CACHING = ("ccache", "sccache")
_AUTO = "ccache"


def choose(settings: Settings, image: EngineImage, engine: Engine) -> str:
    """The program that COMPILER_LAUNCHER asks for, or `none`. Raises LauncherMissing."""
    wanted = settings.compiler_launcher
    if wanted == "auto":
        # Our cache folder is no folder of a remote engine's machine.
        has_folder = bool(engine.socket or settings.ccache_dir)
        return _AUTO if has_folder and engine.has_program(image, _AUTO) else NONE
    if wanted == NONE or engine.has_program(image, wanted):
        return wanted
    raise LauncherMissing(
        f"{settings.builder_image} has no {wanted}, which COMPILER_LAUNCHER names",
        "COMPILER_LAUNCHER=none invoke compile, or add it to the builder image",
    )


def is_caching(launcher: str) -> bool:
    """Whether it keeps compiled objects in a folder."""
    return launcher in _CACHING


def variables(launcher: str, settings: Settings, source_at: str) -> Mapping[str, str]:
    """What CMake and the launcher itself read in the environment.

    CMake takes the launcher from there since version 3.17, when it configures anew.
    """
    if launcher == NONE:
        return {}
    cmake = {f"CMAKE_{language}_COMPILER_LAUNCHER": launcher for language in ("C", "CXX")}
    size = f"{settings.ccache_size >> 20}M"
    if launcher == "ccache":
        # Every tree is compiled at the same place, so that all share what is in the cache.
        sloppiness = "include_file_ctime,include_file_mtime,pch_defines,time_macros"
        own = {"CCACHE_DIR": cache.MOUNTED_AT, "CCACHE_MAXSIZE": f"{size}i", "CCACHE_BASEDIR": source_at}
        return {**cmake, **own, "CCACHE_SLOPPINESS": sloppiness}
    if launcher == "sccache":
        return {**cmake, "SCCACHE_DIR": f"{cache.MOUNTED_AT}/sccache", "SCCACHE_CACHE_SIZE": size}
    return cmake
