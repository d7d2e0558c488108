"""Launcher: start compilers through ccache, distcc or their like."""

from collections.abc import Mapping

from cephtasks.builder import cache
from cephtasks.builder.jobs import Jobs
from cephtasks.engine import Engine, EngineImage
from cephtasks.errors import BuildArgumentInvalid, LauncherMissing
from cephtasks.settings import Settings

NONE = "none"
_CACHING = ("ccache", "sccache")
_AUTO = "ccache"
_DISTRIBUTING = "distcc"


def choose(settings: Settings, image: EngineImage, engine: Engine) -> str:
    """The program that COMPILER_LAUNCHER asks for, or `none`.

    Raises BuildArgumentInvalid, LauncherMissing.
    """
    wanted = settings.compiler_launcher
    if settings.build_hosts:
        _require_distributing(settings)
        require(_DISTRIBUTING, "BUILD_HOSTS needs", "BUILD_HOSTS= invoke compile", image, engine)
    if wanted == "auto":
        # Our cache folder is no folder of a remote engine's machine.
        has_folder = bool(engine.socket or settings.ccache_dir)
        otherwise = _DISTRIBUTING if settings.build_hosts else NONE
        return _AUTO if has_folder and engine.has_program(image, _AUTO) else otherwise
    if wanted != NONE:
        require(wanted, "COMPILER_LAUNCHER names", "COMPILER_LAUNCHER=none invoke compile", image, engine)
    return wanted


def require(program: str, why: str, hint: str, image: EngineImage, engine: Engine) -> None:
    """Raises LauncherMissing where the builder image has no such program."""
    if not engine.has_program(image, program):
        name = next(iter(image.tags), image.id)
        raise LauncherMissing(f"{name} has no {program}, which {why}", f"{hint}, or add it to the image")


def _require_distributing(settings: Settings) -> None:
    """Only distcc, itself or behind ccache, knows what BUILD_HOSTS are; and it has to reach them."""
    if settings.compiler_launcher not in ("auto", _AUTO, _DISTRIBUTING):
        raise BuildArgumentInvalid(
            f"BUILD_HOSTS is set, and COMPILER_LAUNCHER is {settings.compiler_launcher}, which knows none",
            "COMPILER_LAUNCHER=distcc, or BUILD_HOSTS= for this machine alone",
        )
    if settings.build_network == "none":
        raise BuildArgumentInvalid(
            "BUILD_HOSTS is set, and BUILD_NETWORK=none keeps the builder from them", "BUILD_NETWORK=default"
        )


def is_caching(launcher: str) -> bool:
    """Whether it keeps compiled objects in a folder."""
    return launcher in _CACHING


def variables(launcher: str, settings: Settings, jobs: Jobs, source_at: str) -> Mapping[str, str]:
    """What CMake and the launcher itself read in the environment.

    CMake takes the launcher from there since version 3.17, when it configures anew.
    """
    if launcher == NONE:
        return {}
    cmake = {f"CMAKE_{language}_COMPILER_LAUNCHER": launcher for language in ("C", "CXX")}
    return {**cmake, **_distribution(launcher, settings, jobs), **_caching(launcher, settings, source_at)}


def _caching(launcher: str, settings: Settings, source_at: str) -> Mapping[str, str]:
    size = f"{settings.ccache_size >> 20}M"
    if launcher == "ccache":
        # Every tree is compiled at the same place, so that all share what is in the cache.
        sloppiness = "include_file_ctime,include_file_mtime,pch_defines,time_macros"
        own = {"CCACHE_DIR": cache.MOUNTED_AT, "CCACHE_MAXSIZE": f"{size}i", "CCACHE_BASEDIR": source_at}
        return {**own, "CCACHE_SLOPPINESS": sloppiness}
    if launcher == "sccache":
        return {"SCCACHE_DIR": f"{cache.MOUNTED_AT}/sccache", "SCCACHE_CACHE_SIZE": size}
    return {}


def _distribution(launcher: str, settings: Settings, jobs: Jobs) -> Mapping[str, str]:
    """distcc(1): other machines first, as this one preprocesses for all; what fails there is done here."""
    if not settings.build_hosts:
        return {}
    local = (f"--localslots={jobs.here}", f"--localslots_cpp={jobs.all}", f"localhost/{jobs.here}")
    hosts = " ".join([*(f"{host},lzo" for host in settings.build_hosts), *local])
    behind = {"CCACHE_PREFIX": _DISTRIBUTING} if launcher == "ccache" else {}
    return {"DISTCC_HOSTS": hosts, **behind}
