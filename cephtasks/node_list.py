"""Node lists: read NODES as the addresses of a cluster's engines.

Entries stand between white space or commas, a `#` begins a comment: a host or `user@host` (reached by ssh),
`ssh://[user@]host[:port][/socket]`, `tcp://host[:port]` (TLS), `unix:///socket`. Brackets stand for numbers,
as `node[01-16]` or `node[1,3-5]`.
"""

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

MOST = 20_000  # nodes; more than that is a slip of the pen in a range
_NAMED = 8  # of more nodes only so many are named
_ENTRY = re.compile(r"(?:\[[^\]\s]*\]|[^\s,])+")  # a comma within brackets separates numbers
_RANGES = re.compile(r"\[([0-9,-]+)\]")  # other brackets hold an IPv6 address
_RANGE = re.compile(r"([0-9]{1,9})(?:-([0-9]{1,9}))?")
_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*(?:%\w+)?")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_TLS_PORT = 2376  # as Docker has it
_EXAMPLE = "write a host, ssh://user@host, tcp://host:2376 or unix:///socket"


@dataclass(frozen=True)
class Node:
    """One node: as it is called in messages, and the URL of its engine."""

    name: str
    url: str

    def __str__(self) -> str:
        return self.name

    @property
    def host(self) -> str:
        """The name or address of its host; nothing for an engine of this machine."""
        return urlsplit(self.url).hostname or ""


def parse(text: str) -> tuple[Node, ...]:
    """The nodes of a list, in its order; raises ValueError with each fault as an argument of its own."""
    nodes: list[Node] = []
    faults: list[str] = []
    for entry in _entries(text):
        try:
            nodes += (_node(name) for name in itertools.islice(_expanded(entry), MOST + 1))
        except ValueError as error:
            faults.append(f"has {_without_password(entry)!r}: {error}")
    faults += _repeated(nodes)
    if len(nodes) > MOST:
        faults.append(f"names more than {MOST} nodes")
    if faults:
        raise ValueError(*faults)
    return tuple(nodes)


def named(nodes: Sequence[Node]) -> str:
    """The names of some nodes, of many only the first."""
    more = f" and {len(nodes) - _NAMED} more" if len(nodes) > _NAMED else ""
    return ", ".join(node.name for node in nodes[:_NAMED]) + more


def _entries(text: str) -> Iterator[str]:
    for line in text.splitlines():
        yield from _ENTRY.findall(re.sub(r"(^|\s)#.*", "", line))


def _expanded(entry: str) -> Iterator[str]:
    """The entry with each bracket's numbers put in its place."""
    texts = _RANGES.split(entry)
    choices = [_numbers(part) if index % 2 else [part] for index, part in enumerate(texts)]
    return map("".join, itertools.product(*choices))


def _numbers(ranges: str) -> list[str]:
    """The numbers of `1,3-5`; `08-10` has as many digits throughout as its first."""
    numbers: list[str] = []
    for part in ranges.split(","):
        match = _RANGE.fullmatch(part)
        if match is None:
            raise ValueError(f"[{ranges}] is not numbers and ranges such as [01-16] or [1,3-5]")
        first, last = match[1], match[2] or match[1]
        if int(last) < int(first):
            raise ValueError(f"the range {part} ends before it begins")
        if int(last) - int(first) >= MOST:
            raise ValueError(f"the range {part} has more than {MOST} nodes")
        numbers += (f"{number:0{len(first)}}" for number in range(int(first), int(last) + 1))
    return numbers


def _node(name: str) -> Node:
    """The node of an entry without ranges."""
    url = name if "://" in name else f"ssh://{name}"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"{_why(error)}; {_EXAMPLE}") from error
    if parts.password is not None:
        raise ValueError("a password does not belong here; ssh takes keys")
    if parts.query or parts.fragment or port == 0 or not _fits(parts):
        raise ValueError(f"it is no address of an engine; {_EXAMPLE}")
    return Node(name, url if port or parts.scheme != "tcp" else f"{url}:{_TLS_PORT}")


def _fits(parts: SplitResult) -> bool:
    host, user = _HOST.fullmatch(parts.hostname or ""), parts.username
    match parts.scheme:
        case "ssh":
            return bool(host and (user is None or _USER.fullmatch(user)) and parts.path != "/")
        case "tcp":
            return bool(host and user is None and not parts.path)
        case "unix":
            return not parts.netloc and len(parts.path) > 1
    return False


def _without_password(entry: str) -> str:
    return re.sub(r":[^:@/]*@", ":…@", entry)


def _why(error: ValueError) -> str:
    return "a port is a number from 1 to 65535" if "ort" in str(error) else "it is no address of an engine"


def _repeated(nodes: list[Node]) -> Iterator[str]:
    """Two names of one engine would have it do everything twice."""
    names: dict[str, str] = {}
    for node in nodes:
        engine = _engine(node)
        if engine in names:
            other = "twice" if names[engine] == node.name else f"and {names[engine]}, which is the same"
            yield f"has {node} {other}"
        names.setdefault(engine, node.name)


def _engine(node: Node) -> str:
    """The URL in one spelling."""
    parts = urlsplit(node.url)
    port = "" if parts.scheme == "ssh" and parts.port == 22 else str(parts.port or "")
    path = "" if parts.scheme == "ssh" and parts.path == "/var/run/docker.sock" else parts.path
    return f"{parts.scheme}://{parts.username or ''}@{parts.hostname or ''}:{port}{path}"
