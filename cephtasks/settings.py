"""Settings: `.env` and environment become one frozen, validated `Settings`."""

import difflib
import io
import os
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dotenv.parser import Binding, parse_stream

from cephtasks import components, node_list, reference, values
from cephtasks.build_hosts import BuildHost
from cephtasks.errors import EnvFileNotFound, EnvFileUnreadable, SettingsInvalid
from cephtasks.keys import KEYS, Key

ENV_FILE_KEY = "CEPHTASKS_ENV_FILE"
DEBUG_KEY = "CEPHTASKS_DEBUG"
_OWN_KEYS = (ENV_FILE_KEY, DEBUG_KEY)


_BY_NAME = {key.name: key for key in KEYS}


@dataclass(frozen=True)
class Settings:
    """Everything a person can set, read and checked; `origins` tells where each value came from."""

    git_url: str
    sha1_or_ref: str
    clone_filter: str
    clone_depth: int | None
    clone_reference: Path | None
    source_dir: Path
    base_image: str
    base_alias: str
    builder_image: str
    build_command: str
    reconfigure: str
    clean: bool
    configure_flags: str
    build_threads: int | None
    memory_per_job: int
    compiler_launcher: str
    build_hosts: tuple[BuildHost, ...]
    ccache_dir: Path | None
    ccache_size: int
    build_network: str
    install_headers: bool
    image_name: str
    registry: str
    repository: str
    tag: str
    check_tools: tuple[str, ...]
    fix_libs: tuple[str, ...]
    state_dir: Path
    layer_compression: str
    strip: bool
    load_on_demand: bool
    components: tuple[components.Component, ...]
    registry_ca: Path | None
    registry_insecure: tuple[str, ...]
    chunk_size: values.Bytes | None
    nodes: tuple[node_list.Node, ...]
    nodes_certs: Path
    at_once: int
    mon_ip: str
    ceph_network: str
    ceph_config_dir: Path
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
    Raises EnvFileNotFound, EnvFileUnreadable, or SettingsInvalid with every fault at once.
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
    read, faults = _read_all(chosen)
    if file.faults or faults:
        raise SettingsInvalid([*file.faults, *faults], "mend these and type the same again")
    return Settings(
        **{**read, **_derived(read)},
        origins={name: source.origin for name, source in chosen.items()},
        warnings=tuple(_misspelt(file)),
    )


def check_flag(key: Key, text: str) -> None:
    """Raise SettingsInvalid where a flag's value cannot be that setting's."""
    try:
        key.read(_Source("flag", {key.name: text}, Path()).text(key))
    except ValueError as error:
        flag = f"--{key.attribute.replace('_', '-')}"
        faults = [f"{key.name} {fault} (flag {flag})" for fault in error.args]
        raise SettingsInvalid(faults, "mend it and type the same again") from error


def environment_for(env_file: Path) -> dict[str, str]:
    """The environment for another run of cephtasks in which that file alone decides."""
    others = {name: value for name, value in os.environ.items() if name not in _BY_NAME}
    return {**others, ENV_FILE_KEY: str(env_file)}


def debugging() -> bool:
    """Whether CEPHTASKS_DEBUG asks for tracebacks."""
    return os.environ.get(DEBUG_KEY, "").lower() in values.TRUE


def docker_auth_config() -> str:
    """The logins that CI systems hand over, as JSON; no setting, as they are secret."""
    return os.environ.get("DOCKER_AUTH_CONFIG", "")


def example() -> str:
    """The text of `.env.example`: every key with its default and one comment."""
    lines = ["# Copy to .env and change what differs. A flag beats the environment, which beats this file."]
    for key in KEYS:
        default = f" (default: {key.shown_default})" if key.shown_default else ""
        value = f'"{key.default}"' if re.search(r"[\s#]", key.default) else key.default
        lines += ["", f"# {key.comment}{default}", f"{'# ' if key.shown_default else ''}{key.name}={value}"]
    return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class _Source:
    """Where settings come from: its name for people, what it sets, and where its relative paths start."""

    origin: str
    entries: Mapping[str, str]
    folder: Path
    faults: tuple[str, ...] = ()

    def text(self, key: Key) -> str:
        """The value of a setting as it is written; raises ValueError where its file cannot be read."""
        text = self.entries[key.name]
        named = re.fullmatch(r"@(.+)|(?!\S*://)(\S*/\S*)", text.strip()) if key.in_file else None
        if named is None:
            return text
        file = self.folder / Path(named[1] or named[2]).expanduser()
        try:
            return file.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise ValueError(f"names the file {_short(file)}, which cannot be read: {why}") from error


def _env_file(named: Path | None, default: Path) -> _Source:
    path = named or default
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (FileNotFoundError, NotADirectoryError) as error:
        if named is None and not path.is_symlink():
            return _Source(".env", {}, path.parent)
        raise EnvFileNotFound(
            f"there is no settings file {path}", f"cp .env.example {shlex.quote(str(path))}"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise EnvFileUnreadable(
            f"the settings file {path} cannot be read: {why}", f"ls -l {shlex.quote(str(path))}"
        ) from error
    lines = tuple(parse_stream(io.StringIO(text)))
    # A line may hold a secret that does not belong there: tell its number only.
    broken = (_number(line) for line in lines if line.error or (line.key and line.value is None))
    return _Source(
        _short(path),
        {line.key: line.value or "" for line in lines if line.key},
        path.parent,
        tuple(f"line {number} is not KEY=value ({_short(path)})" for number in broken),
    )


def _number(line: Binding) -> int:
    """The parser counts the empty lines before a line as its own."""
    text = line.original.string
    return line.original.line + text[: len(text) - len(text.lstrip())].count("\n")


def _read_all(chosen: Mapping[str, _Source]) -> tuple[dict[str, Any], list[str]]:
    read: dict[str, Any] = {}
    faults: list[str] = []
    for key in KEYS:
        source = chosen[key.name]
        try:
            value = key.read(source.text(key))
            read[key.attribute] = _located(value, source.folder) if isinstance(value, Path) else value
        except ValueError as error:
            faults += (f"{key.name} {fault} ({source.origin})" for fault in error.args)
    return read, faults


def _located(path: Path, folder: Path) -> Path:
    """Relative paths are shown relative where that is possible, so messages stay short."""
    try:
        return Path(_short((folder / path).resolve()))
    except (OSError, RuntimeError) as error:  # RuntimeError: Python's word for symlinks in a circle
        raise ValueError(f"is {str(path)!r}, where symlinks lead in a circle") from error


def _short(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _derived(read: Mapping[str, Any]) -> dict[str, Any]:
    """What follows from others: names from the source's ref, or its folder's name where no ref is set."""
    source = read["sha1_or_ref"] or read["source_dir"].resolve().name
    repository = reference.legal_repository(f"ceph-heads/{source}")
    return {
        "image_name": read["image_name"] or repository,
        "tag": read["tag"] or reference.legal_tag(source.rpartition("/")[2]),
        "ceph_network": read["ceph_network"] or f"{read['mon_ip']}/32",
        "ceph_config_dir": read["ceph_config_dir"] or read["state_dir"] / "ceph",
    }


def _misspelt(source: _Source) -> Iterator[str]:
    for name in source.entries:
        if name in _BY_NAME or name in _OWN_KEYS:
            continue
        near = difflib.get_close_matches(name.upper(), _BY_NAME, n=1, cutoff=0.8)
        if near:
            yield f"{source.origin} sets {name}, which nothing reads; did you mean {near[0]}?"
