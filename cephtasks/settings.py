"""Settings: `.env` and environment become one frozen, validated `Settings`."""

import difflib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dotenv import dotenv_values

from cephtasks import reference
from cephtasks.errors import EnvFileNotFound, ReferenceInvalid, SettingsInvalid

ENV_FILE_KEY = "CEPHTASKS_ENV_FILE"
DEBUG_KEY = "CEPHTASKS_DEBUG"
_OWN_KEYS = (ENV_FILE_KEY, DEBUG_KEY)
_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off", ""})


@dataclass(frozen=True)
class Key:
    """One setting: its name in `.env`, its default as written there, how it is read, what it is for."""

    name: str
    default: str
    read: Callable[[str], Any]
    comment: str
    shown_default: str = ""

    @property
    def attribute(self) -> str:
        """The name of the field of `Settings`."""
        return self.name.lower()

    @property
    def is_switch(self) -> bool:
        """Whether the setting is true or false."""
        return self.read is _boolean


def _text(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be empty")
    return value.strip()


def _optional(value: str) -> str:
    return value.strip()


def _words(value: str) -> tuple[str, ...]:
    return tuple(value.replace(",", " ").split())


def _boolean(value: str) -> bool:
    if value.strip().lower() in _TRUE:
        return True
    if value.strip().lower() in _FALSE:
        return False
    raise ValueError(f"is {value!r}, not true or false")


def _choice(*choices: str) -> Callable[[str], str]:
    def read(value: str) -> str:
        if value.strip().lower() not in choices:
            raise ValueError(f"is {value!r}, not one of {', '.join(choices)}")
        return value.strip().lower()

    return read


def _threads(value: str) -> int:
    if not value.strip():
        return threads_for(os.cpu_count() or 1, _memory_bytes())
    if not value.strip().isdigit() or int(value) < 1:
        raise ValueError(f"is {value!r}, not a number of 1 or more")
    return int(value)


def _image(value: str) -> str:
    try:
        return reference.parse(value.strip()).familiar
    except ReferenceInvalid as error:
        raise ValueError(error.fact) from error


def _optional_image(value: str) -> str:
    return _image(value) if value.strip() else ""


def _registry(value: str) -> str:
    if not reference.is_registry(value.strip()):
        raise ValueError(f"is {value!r}, not a host or host:port")
    return value.strip()


def _registries(value: str) -> tuple[str, ...]:
    return tuple(_registry(word) for word in _words(value))


def _repository(value: str) -> str:
    if not reference.is_repository(value.strip()):
        raise ValueError(f"is {value!r}, not a repository such as ceph/daemon")
    return value.strip()


def _optional_tag(value: str) -> str:
    if value.strip() and not reference.is_tag(value.strip()):
        raise ValueError(f"is {value!r}, not a tag (letters, digits, _ . -, at most 128)")
    return value.strip()


def _path(value: str) -> Path:
    return Path(_text(value))


def _optional_path(value: str) -> Path | None:
    if not value.strip():
        return None
    return Path(value.strip())


BYTES_PER_JOB = 3 * 1024**3  # a compile job of Ceph takes 2.5 to 3.5 GB


def threads_for(cores: int, memory: int) -> int:
    """Compile jobs that cores and memory (bytes) allow, at least one."""
    return max(1, min(cores, memory // BYTES_PER_JOB))


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


CEPH_TOOLS = "ceph ceph-fuse rados rbd ceph-mon ceph-osd ceph-mds ceph-mgr radosgw"

KEYS: tuple[Key, ...] = (
    Key("GIT_URL", "https://github.com/ceph/ceph.git", _text, "where compile clones the source from"),
    Key(
        "SHA1_OR_REF",
        "remotes/origin/master",
        _optional,
        "commit, tag or branch to build; empty: the source as it is",
    ),
    Key("SOURCE_DIR", "ceph", _path, "the source tree on this host; mounted at /ceph in the builder"),
    Key(
        "BASE_IMAGE",
        "ceph/daemon:tag-build-master-jewel-ubuntu-14.04",
        _image,
        "the image that the compiled files go onto",
    ),
    Key("BASE_ALIAS", "ceph/daemon:latest", _image, "the local name that fetch-base gives the base"),
    Key("BUILDER_IMAGE", "cephbuilder/ceph:latest", _image, "the image with the compilers"),
    Key("BUILD_COMMAND", "build-cmake", _text, "what compile runs in the builder"),
    Key(
        "RECONFIGURE",
        "auto",
        _choice("auto", "true", "false"),
        "run cmake's configure step; auto: when it never ran or its flags changed",
    ),
    Key("CLEAN", "false", _boolean, "remove the build folder before compiling"),
    Key("CONFIGURE_FLAGS", "-DWITH_TESTS=OFF", _optional, "flags for the configure step"),
    Key(
        "BUILD_THREADS",
        "",
        _threads,
        "compile jobs at once, one for every 3 GiB of memory",
        shown_default="as many as cores and memory allow",
    ),
    Key("INSTALL_HEADERS", "false", _boolean, "install the header files too"),
    Key(
        "IMAGE_NAME",
        "",
        _optional_image,
        "the name of the image that pack makes",
        shown_default="ceph-heads/<SHA1_OR_REF>",
    ),
    Key("REGISTRY", "localhost:5000", _registry, "the registry that push sends to, host[:port]"),
    Key("REPOSITORY", "ceph/daemon", _repository, "the repository in the registry"),
    Key(
        "TAG",
        "",
        _optional_tag,
        "the tag in the registry",
        shown_default="the last part of SHA1_OR_REF",
    ),
    Key("CHECK_TOOLS", CEPH_TOOLS, _words, "tools that check starts, those that the image has"),
    Key(
        "FIX_LIBS",
        "",
        _words,
        "file name globs of the libraries that fix adds",
        shown_default="found by soname and symbol",
    ),
    Key("STATE_DIR", ".cephtasks", _path, "images, logs and the demo's registry live here"),
    Key(
        "LAYER_COMPRESSION",
        "gzip",
        _choice("gzip", "zstd"),
        "how layers are compressed; zstd needs engines of version 23 or later",
    ),
    Key("REGISTRY_CA", "", _optional_path, "file with the CA certificates of the registry"),
    Key(
        "REGISTRY_INSECURE",
        "",
        _registries,
        "registries that may be reached by plain HTTP",
        shown_default="loopback only",
    ),
)
_BY_NAME = {key.name: key for key in KEYS}


@dataclass(frozen=True)
class Settings:
    """Everything a person can set, read and checked; `origins` tells where each value came from."""

    git_url: str
    sha1_or_ref: str
    source_dir: Path
    base_image: str
    base_alias: str
    builder_image: str
    build_command: str
    reconfigure: str
    clean: bool
    configure_flags: str
    build_threads: int
    install_headers: bool
    image_name: str
    registry: str
    repository: str
    tag: str
    check_tools: tuple[str, ...]
    fix_libs: tuple[str, ...]
    state_dir: Path
    layer_compression: str
    registry_ca: Path | None
    registry_insecure: tuple[str, ...]
    origins: Mapping[str, str] = field(compare=False)
    warnings: tuple[str, ...] = field(compare=False)

    @property
    def target(self) -> str:
        """Where push sends the image: `REGISTRY/REPOSITORY:TAG`."""
        return f"{self.registry}/{self.repository}:{self.tag}"

    def shown(self) -> Iterator[tuple[str, Any, str]]:
        """Key, value and origin of every setting, in the order of `.env.example`."""
        for key in KEYS:
            yield key.name, getattr(self, key.attribute), self.origins[key.name]


def load(
    flags: Mapping[str, str] | None = None,
    env_file: Path | None = None,
    folder: Path = Path(),
    environment: Mapping[str, str] | None = None,
) -> Settings:
    """Read all settings: a flag beats the environment, which beats `.env`, which beats the default.

    `env_file` (or CEPHTASKS_ENV_FILE) must exist when named; the `.env` in `folder` may be missing.
    Relative paths of a settings file count from its folder, those of the defaults from `folder`,
    those of flags and environment from the current folder.
    Raises EnvFileNotFound, or SettingsInvalid with every fault at once.
    """
    environment = os.environ if environment is None else environment
    named = env_file or (Path(environment[ENV_FILE_KEY]) if environment.get(ENV_FILE_KEY) else None)
    file = _env_file(named, folder / ".env")
    sources = (
        _Source("flag", flags or {}, Path()),
        _Source("environment", environment, Path()),
        file,
        _Source("default", {key.name: key.default for key in KEYS}, folder),
    )
    chosen = {key.name: next(source for source in sources if key.name in source.entries) for key in KEYS}
    values, faults = _read_all(chosen)
    if faults:
        raise SettingsInvalid(faults, "mend these and type the same again")
    return Settings(
        **{**values, **_derived(values)},
        origins={name: source.origin for name, source in chosen.items()},
        warnings=tuple(_misspelt(file)),
    )


def check_flag(key: Key, text: str) -> None:
    """Raise SettingsInvalid where a flag's value cannot be that setting's."""
    try:
        key.read(text)
    except ValueError as error:
        flag = f"--{key.attribute.replace('_', '-')}"
        raise SettingsInvalid(
            [f"{key.name} {error} (flag {flag})"], "mend it and type the same again"
        ) from error


def environment_for(env_file: Path) -> dict[str, str]:
    """The environment for another run of cephtasks in which that file alone decides."""
    others = {name: value for name, value in os.environ.items() if name not in _BY_NAME}
    return {**others, ENV_FILE_KEY: str(env_file)}


def debugging() -> bool:
    """Whether CEPHTASKS_DEBUG asks for tracebacks."""
    return os.environ.get(DEBUG_KEY, "").lower() in _TRUE


def example() -> str:
    """The text of `.env.example`: every key with its default and one comment."""
    lines = ["# Copy to .env and change what differs. A flag beats the environment, which beats this file."]
    for key in KEYS:
        default = f" (default: {key.shown_default})" if key.shown_default else ""
        value = f'"{key.default}"' if " " in key.default else key.default
        lines += ["", f"# {key.comment}{default}", f"{'# ' if key.shown_default else ''}{key.name}={value}"]
    return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class _Source:
    """Where settings come from: its name for people, what it sets, and where its relative paths start."""

    origin: str
    entries: Mapping[str, str]
    folder: Path


def _env_file(named: Path | None, default: Path) -> _Source:
    path = named or default
    if named is None and not path.exists():
        return _Source(".env", {}, path.parent)
    if not path.is_file():
        raise EnvFileNotFound(f"there is no settings file {path}", "cp .env.example .env")
    try:
        entries = dotenv_values(path, interpolate=False)
    except (OSError, UnicodeDecodeError) as error:
        raise EnvFileNotFound(f"the settings file {path} cannot be read: {error}", f"less {path}") from error
    return _Source(str(path), {name: value or "" for name, value in entries.items()}, path.parent)


def _read_all(chosen: Mapping[str, _Source]) -> tuple[dict[str, Any], list[str]]:
    values: dict[str, Any] = {}
    faults = []
    for key in KEYS:
        source = chosen[key.name]
        try:
            value = key.read(source.entries[key.name])
            values[key.attribute] = _located(value, source.folder) if isinstance(value, Path) else value
        except ValueError as error:
            faults.append(f"{key.name} {error} ({source.origin})")
    return values, faults


def _located(path: Path, folder: Path) -> Path:
    """Relative paths are shown relative where that is possible, so messages stay short."""
    path = folder / path.expanduser()
    absolute = path.resolve()
    return absolute.relative_to(Path.cwd()) if absolute.is_relative_to(Path.cwd()) else absolute


def _derived(values: Mapping[str, Any]) -> dict[str, str]:
    """Names that follow from the source: its ref, or its folder's name where no ref is set."""
    source = values["sha1_or_ref"] or values["source_dir"].resolve().name
    repository = reference.legal_repository(f"ceph-heads/{source}")
    return {
        "image_name": values["image_name"] or reference.parse(repository).familiar,
        "tag": values["tag"] or reference.legal_tag(source.rpartition("/")[2]),
    }


def _misspelt(source: _Source) -> Iterator[str]:
    for name in source.entries:
        if name in _BY_NAME or name in _OWN_KEYS:
            continue
        near = difflib.get_close_matches(name.upper(), _BY_NAME, n=1, cutoff=0.8)
        if near:
            yield f"{source.origin} sets {name}, which nothing reads; did you mean {near[0]}?"
