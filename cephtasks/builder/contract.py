"""Contract: what a builder image is told, in the way that the old builder images expect.

Those are of https://github.com/systemslab/docker-cephdev (builder-base): a script in /root/bin that reads
its orders from the environment and finds the source at /ceph.
"""

import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from cephtasks.builder import cache, launcher
from cephtasks.builder.configured import Configuration
from cephtasks.builder.git_mounts import git_mounts
from cephtasks.builder.jobs import Jobs
from cephtasks.engine import EngineImage, Mount, RunSpec
from cephtasks.errors import BuildArgumentInvalid
from cephtasks.settings import Settings
from cephtasks.source import Source, without_credentials

OUR_BUILDER = "cephbuilder/ceph:latest"
MOUNTED_AT = "/ceph"
SOCKET = "/var/run/docker.sock"  # where images look for it, and where a remote engine has its own
# https://cmake.org/cmake/help/latest/manual/cmake-env-variables.7.html
_READ_BY_CMAKE = re.compile(r"CC|CXX|ASM|RC|.*FLAGS|CMAKE_.*|PKG_CONFIG.*|.*_ROOT|.*_DIR")
_ROOTS_HOME = "/root"
# Of what root may do, as much as it takes to unpack and install files of others, and to run as others.
_ROOTS_CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "SETGID", "SETUID")
_PAIR = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)


@dataclass(frozen=True)
class Builder:
    """A builder image, what its compilers are started through, and how many jobs its engine bears.

    `socket` is the path of the engine's socket where the image is trusted with it, else empty.
    """

    image: EngineImage
    launcher: str
    jobs: Jobs
    socket: str = ""


def run_spec(
    source: Source,
    settings: Settings,
    builder: Builder,
    configure: bool,
    extra_env: Sequence[str] = (),
) -> RunSpec:
    """The container that compiles. Raises BuildArgumentInvalid.

    SHA1_OR_REF is empty, and CLEAN false, whatever they are set to: for either, old images throw away
    what is not committed, and images set a SHA1_OR_REF of their own where none is given.
    """
    words = command(settings)
    given = pairs(extra_env)
    env = {
        "GIT_URL": without_credentials(settings.git_url),
        "CONFIGURE_FLAGS": settings.configure_flags,
        "BUILD_THREADS": str(builder.jobs.all),
        "LINK_THREADS": str(builder.jobs.link),
        "INSTALL_HEADERS": _word(settings.install_headers),
        "IMAGE_NAME": settings.image_name,
        "GENERATE_DOCKER_IMAGE": "false",
        # The user is unknown in the image and has no home there.
        "HOME": "/tmp",  # noqa: S108 — in the container
        **launcher.variables(builder.launcher, settings, builder.jobs, MOUNTED_AT),
        **given,
        "SHA1_OR_REF": "",
        "CLEAN": "false",
        "RECONFIGURE": _word(configure),
    }
    user = user_of(source.folder)
    mounts = [
        Mount(source.folder.resolve(), MOUNTED_AT),
        *git_mounts(source.folder, MOUNTED_AT, settings.state_dir),
    ]
    if launcher.is_caching(builder.launcher):
        mounts += [Mount(cache.folder_for(settings, user), cache.MOUNTED_AT)]
    if builder.socket:
        mounts += [Mount(Path(builder.socket), SOCKET)]
    return RunSpec(
        image=settings.builder_image,
        command=words[1:],
        entrypoint=words[:1],
        env=env,
        mounts=tuple(mounts),
        user=user,
        groups=_groups_of(builder.socket),
        capabilities=_ROOTS_CAPABILITIES if user.startswith("0:") else (),
        workdir=MOUNTED_AT,
        network="none" if settings.build_network == "none" else "bridge",
        purpose="compile",
        passable=() if user.startswith("0:") else _private_folders(builder.image),
    )


def configuration(settings: Settings, builder: Builder, extra_env: Sequence[str]) -> Configuration:
    """What of all this the configure step depends on. Raises BuildArgumentInvalid."""
    given = pairs(extra_env)
    return Configuration(
        settings.configure_flags,
        builder.image.id,
        builder.launcher,
        builder.jobs.link,
        {name: given[name] for name in sorted(given) if _READ_BY_CMAKE.fullmatch(name)},
    )


def command(settings: Settings) -> tuple[str, ...]:
    """The words of BUILD_COMMAND. Raises BuildArgumentInvalid."""
    try:
        words = tuple(shlex.split(settings.build_command))
    except ValueError as error:
        fact = f"BUILD_COMMAND {settings.build_command!r} cannot be split into words: {error}"
        raise BuildArgumentInvalid(fact, "invoke settings") from error
    if not words or not words[0]:
        raise BuildArgumentInvalid("BUILD_COMMAND names no command", "BUILD_COMMAND=build-cmake")
    return words


def pairs(extra_env: Sequence[str]) -> dict[str, str]:
    """The variables of `--env`, the last of a name counting. Raises BuildArgumentInvalid."""
    found = {}
    for given in extra_env:
        pair = _PAIR.fullmatch(given)
        if pair is None:
            name = given.partition("=")[0]
            raise BuildArgumentInvalid(f"--env {name!r} is not KEY=VALUE", "--env KEY=VALUE")
        found[pair[1]] = pair[2]
    for name, harmless in (("SHA1_OR_REF", ""), ("CLEAN", "false")):
        if found.get(name, harmless) != harmless:
            fact = f"--env {name} would let a builder throw away uncommitted work"
            raise BuildArgumentInvalid(fact, f"{name}={shlex.quote(found[name])} invoke compile")
    return found


def as_told(settings: Settings, extra_env: Sequence[str]) -> Settings:
    """The settings with what `--env` changes of them, so that decisions are made of what the builder gets."""
    given = pairs(extra_env)
    return replace(
        settings,
        configure_flags=given.get("CONFIGURE_FLAGS", settings.configure_flags),
        reconfigure=given.get("RECONFIGURE", settings.reconfigure),
    )


def user_of(folder: Path) -> str:
    """`uid:gid` to compile as: the calling user, or for root the folder's owner, whose files they become.

    A folder that is missing, as in a dry run, would be cloned as the owner of what is above it.
    """
    if os.getuid():
        return f"{os.getuid()}:{os.getgid()}"
    resolved = folder.resolve()
    owner = next(each for each in (resolved, *resolved.parents) if each.exists()).stat()
    return f"{owner.st_uid}:{owner.st_gid}"


def _groups_of(socket: str) -> tuple[str, ...]:
    """The group that may use a socket; that of a remote engine's cannot be known."""
    return (str(Path(socket).stat().st_gid),) if socket and Path(socket).exists() else ()


def _private_folders(image: EngineImage) -> tuple[str, ...]:
    """Old images keep their commands below root's home, which nobody else may enter."""
    search = (PurePosixPath(folder) for folder in image.env.get("PATH", "").split(":"))
    return (_ROOTS_HOME,) if any(folder.is_relative_to(_ROOTS_HOME) for folder in search) else ()


def _word(flag: bool) -> str:
    return "true" if flag else "false"
