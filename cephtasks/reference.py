"""References: read and write `registry/repository:tag@digest` by distribution's grammar."""

import re
from dataclasses import dataclass, replace

from cephtasks.errors import ReferenceInvalid

DOCKER_HUB = "docker.io"
DEFAULT_TAG = "latest"
_NAME_MAX = 255  # engines before 25 and registries count the host too

# The grammar of https://github.com/distribution/reference (regexp.go), written again from its EBNF.
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_DOMAIN_PART = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = rf"(?:{_DOMAIN_PART}(?:\.{_DOMAIN_PART})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_TAG = r"\w[\w.-]{0,127}"
_DIGEST = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}"
_REFERENCE = re.compile(
    rf"(?P<registry>{_DOMAIN})/(?P<repository>{_COMPONENT}(?:/{_COMPONENT})*)"
    rf"(?::(?P<tag>{_TAG}))?(?:@(?P<digest>{_DIGEST}))?",
    re.ASCII,
)
_TAG_ONLY = re.compile(_TAG, re.ASCII)
_REPOSITORY_ONLY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*", re.ASCII)
_REGISTRY_ONLY = re.compile(_DOMAIN, re.ASCII)
_SHA256 = re.compile(r"sha256:[0-9a-f]{64}")
_IDENTIFIER = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Reference:
    """The name of an image: registry host, repository, and a tag, a digest, or both."""

    registry: str
    repository: str
    tag: str | None = None
    digest: str | None = None

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.name}{tag}{digest}"

    @property
    def name(self) -> str:
        """`registry/repository`, without tag and digest."""
        return f"{self.registry}/{self.repository}"

    @property
    def familiar(self) -> str:
        """The short form that Docker shows, without `docker.io/` and `library/` where they go unsaid."""
        without_host = str(self).removeprefix(f"{DOCKER_HUB}/")
        shorter = (without_host.removeprefix("library/"), without_host)
        return next((text for text in shorter if _splits_into(text, self)), str(self))

    @property
    def target(self) -> str:
        """What a registry's manifest URL ends in: the digest where there is one, else the tag."""
        return self.digest or self.tag or DEFAULT_TAG

    def with_digest(self, digest: str) -> "Reference":
        """The same repository, named by digest alone."""
        return replace(self, tag=None, digest=digest)


def parse(text: str) -> Reference:
    """Read a reference as Docker does: Docker Hub, `library/` and `latest` are filled in.

    Raises ReferenceInvalid for anything outside the grammar of distribution/reference.
    """
    registry, remainder = _split_registry(text)
    match = _REFERENCE.fullmatch(f"{registry}/{remainder}")
    if match is None or _IDENTIFIER.fullmatch(text) or not _has_possible_port(registry):
        raise ReferenceInvalid(f"{text!r} is not an image reference{_why(text)}", _EXAMPLE)
    if len(f"{registry}/{match['repository']}") > _NAME_MAX:
        raise ReferenceInvalid(f"{text!r} has a name of more than {_NAME_MAX} characters", _EXAMPLE)
    digest = match["digest"]
    if digest and not _SHA256.fullmatch(digest):
        raise ReferenceInvalid(f"{text!r} has a digest that is not sha256", _EXAMPLE)
    tag = match["tag"] or (None if digest else DEFAULT_TAG)
    return Reference(registry, match["repository"], tag, digest)


def parse_repository(text: str, registry: str) -> Reference:
    """Read the name of a repository, which is one of `registry` where no host stands before it.

    Raises ReferenceInvalid, also where a tag or a digest follows.
    """
    first, slash, _ = text.partition("/")
    named = parse(text if slash and _is_host(first) else f"{registry}/{text}")
    if named.digest or ":" in text.rpartition("/")[2]:
        raise ReferenceInvalid(f"{text!r} is not a repository", "leave the tag and the digest out")
    return replace(named, tag=None)


def is_registry(text: str) -> bool:
    """Whether the text is a registry's `host[:port]`, with a port that can be."""
    return _REGISTRY_ONLY.fullmatch(text) is not None and _has_possible_port(text)


def is_repository(text: str) -> bool:
    """Whether the text is a repository's path, without registry and tag."""
    return _REPOSITORY_ONLY.fullmatch(text) is not None


def is_tag(text: str) -> bool:
    """Whether the text is a legal tag."""
    return _TAG_ONLY.fullmatch(text) is not None


def legal_tag(text: str) -> str:
    """The nearest legal tag: other characters become `-`, at most 128 of them."""
    return re.sub(r"[^\w.-]", "-", text, flags=re.ASCII).lstrip(".-")[:128] or DEFAULT_TAG


def legal_repository(text: str) -> str:
    """The nearest legal repository path: lower case, other characters become `-`, of legal length."""
    components = (re.sub(r"[^a-z0-9]+", _separator, part).strip("._-") for part in text.lower().split("/"))
    path = "/".join(component for component in components if component)
    return path[: _NAME_MAX - len(f"{DOCKER_HUB}/library/")].rstrip("/._-")


def _separator(match: re.Match[str]) -> str:
    return match[0] if re.fullmatch(r"\.|_|__|-+", match[0]) else "-"


def _split_registry(text: str) -> tuple[str, str]:
    """Docker's rule: the first part is a host if it has a dot, a colon or a capital, or is localhost."""
    first, slash, remainder = text.partition("/")
    if not slash or not _is_host(first):
        first, remainder = DOCKER_HUB, text
    if first not in (DOCKER_HUB, "index.docker.io"):
        return first, remainder
    return DOCKER_HUB, remainder if "/" in remainder else f"library/{remainder}"


def _is_host(first: str) -> bool:
    return first == "localhost" or re.search(r"[.:A-Z]", first) is not None


def _has_possible_port(registry: str) -> bool:
    port = re.search(r":([0-9]+)$", registry)
    return port is None or 0 < int(port[1]) < 1 << 16


def _splits_into(text: str, expected: Reference) -> bool:
    try:
        read = parse(text)
    except ReferenceInvalid:
        return False
    return (read.registry, read.repository) == (expected.registry, expected.repository)


def _why(text: str) -> str:
    registry, remainder = _split_registry(text)
    mistakes = (
        (not text, "it is empty"),
        ("://" in text, "leave the scheme out"),
        (re.search(r"\s", text), "it has white space"),
        (re.search(r"[A-Z]", remainder.partition(":")[0]), "a repository has no capital letters"),
        (_IDENTIFIER.fullmatch(text), "64 hexadecimal digits are an image id"),
        (not _has_possible_port(registry), "a port is a number from 1 to 65535"),
    )
    return next((f": {mistake}" for made, mistake in mistakes if made), "")


_EXAMPLE = "write [registry[:port]/]repository[:tag][@sha256:…], as localhost:5000/ceph/daemon:latest"
