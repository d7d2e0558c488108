"""Values: read the text of a setting as what it means.

Each reader takes the text as it stands in `.env` and raises ValueError with the rest of a sentence
that starts with the setting's name; where there are several, each is an argument of its own.
"""

import ipaddress
import re
import shlex
from collections.abc import Callable
from pathlib import Path

from cephtasks import reference
from cephtasks.errors import ReferenceInvalid

TRUE = frozenset({"1", "true", "yes", "on"})
FALSE = frozenset({"0", "false", "no", "off", ""})
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT])(i?)B?", re.IGNORECASE)


def text(value: str) -> str:
    """Something."""
    if not value.strip():
        raise ValueError("must not be empty")
    return value.strip()


def optional(value: str) -> str:
    """Something or nothing."""
    return value.strip()


def words(value: str) -> tuple[str, ...]:
    """Words between white space or commas."""
    return tuple(value.replace(",", " ").split())


def command_lines(value: str) -> tuple[str, ...]:
    """Command lines between white space; one with arguments stands in quotes, as a shell reads them."""
    try:
        lines = tuple(shlex.split(value))
        empty = any(not shlex.split(line) for line in lines)
    except ValueError as error:
        raise ValueError(f"is {value!r}, which no shell can read: {error}") from error
    if empty:
        raise ValueError(f"is {value!r}, where one of the command lines is empty")
    return lines


def boolean(value: str) -> bool:
    """True or false, in the usual words."""
    if value.strip().lower() in TRUE:
        return True
    if value.strip().lower() in FALSE:
        return False
    raise ValueError(f"is {value!r}, not true or false")


def choice(*choices: str) -> Callable[[str], str]:
    """A reader of one word out of several."""

    def read(value: str) -> str:
        if value.strip().lower() not in choices:
            raise ValueError(f"is {value!r}, not one of {', '.join(choices)}")
        return value.strip().lower()

    return read


class Bytes(int):
    """A number of bytes, shown as people write it."""

    def __str__(self) -> str:
        power = next((power for power in (3, 2, 1) if self >= 1024**power), 0)
        return f"{self / 1024**power:g}{('', 'KiB', 'MiB', 'GiB')[power]}"


_LEAST_CHUNK = Bytes(1 << 16)


def byte_size(value: str) -> Bytes:
    """A size as 20GB (powers of 1000) or 2.5GiB (of 1024)."""
    found = _SIZE.fullmatch(value.strip())
    if found is None or not float(found[1]):
        raise ValueError(f"is {value!r}, not a size such as 2.5GiB or 500MB")
    number, unit, binary = found.groups()
    return Bytes(float(number) * (1024 if binary else 1000) ** (1 + "KMGT".index(unit.upper())))


def chunk_size(value: str) -> Bytes | None:
    """How much of a blob goes into one request; nothing: all of it."""
    size = byte_size(value) if value.strip() else None
    if size is not None and size < _LEAST_CHUNK:
        raise ValueError(f"is {value!r}, less than {_LEAST_CHUNK}: so small pieces take for ever")
    return size


def clone_filter(value: str) -> str:
    """A filter that leaves out file contents until they are needed, or nothing.

    Without its trees (tree:0) a clone would ask the far side for each of them at every switch.
    """
    if value.strip() and not re.fullmatch(r"blob:(none|limit=\d+[kmg]?)", value.strip()):
        raise ValueError(f"is {value!r}, not blob:none or blob:limit=SIZE")
    return value.strip()


def optional_count(value: str) -> int | None:
    """How many, or nothing."""
    return count(value) if value.strip() else None


def count(value: str) -> int:
    """How many, at least one."""
    if not (value.isascii() and value.strip().isdigit() and int(value)):
        raise ValueError(f"is {value!r}, not a number of 1 or more")
    return int(value)


def ip_address(value: str) -> str:
    """An IPv4 address of a host."""
    try:
        return str(ipaddress.IPv4Address(value.strip()))
    except ValueError as error:
        raise ValueError(f"is {value!r}, not an address such as 10.0.0.5") from error


def optional_ip_network(value: str) -> str:
    """An IPv4 network, or nothing."""
    try:
        return str(ipaddress.IPv4Network(value.strip(), strict=False)) if value.strip() else ""
    except ValueError as error:
        raise ValueError(f"is {value!r}, not a network such as 10.0.0.0/24") from error


def image(value: str) -> str:
    """The name of an image, in the short form that Docker shows; a tag that is not written stays so."""
    try:
        name = reference.parse(value.strip()).familiar
    except ReferenceInvalid as error:
        raise ValueError(error.fact) from error
    default = f":{reference.DEFAULT_TAG}"
    return name if value.strip().endswith(default) else name.removesuffix(default)


def new_image(value: str) -> str:
    """The name that an image is to get, so one without a digest."""
    if "@" in value:
        raise ValueError(f"is {value!r}: an image gets a name and a tag, its digest it has")
    return image(value)


def optional_new_image(value: str) -> str:
    """The name that an image is to get, or nothing."""
    return new_image(value) if value.strip() else ""


def registry(value: str) -> str:
    """A registry."""
    if not reference.is_registry(value.strip()):
        raise ValueError(f"is {value!r}, not a host or host:port")
    return value.strip()


def registries(value: str) -> tuple[str, ...]:
    """Registries between white space or commas."""
    return tuple(registry(word) for word in words(value))


def repository(value: str) -> str:
    """A repository's path."""
    if not reference.is_repository(value.strip()):
        raise ValueError(f"is {value!r}, not a repository such as ceph/daemon")
    return value.strip()


def optional_tag(value: str) -> str:
    """A tag or nothing."""
    if value.strip() and not reference.is_tag(value.strip()):
        raise ValueError(f"is {value!r}, not a tag (letters, digits, _ . -, at most 128)")
    return value.strip()


def path(value: str) -> Path:
    """A path of this host; `~` is somebody's home."""
    try:
        return Path(text(value)).expanduser()
    except RuntimeError as error:
        raise ValueError(f"is {value!r}, and there is no such home") from error


def optional_path(value: str) -> Path | None:
    """A path of this host or nothing."""
    return path(value) if value.strip() else None
