"""Catalog: list the repositories of a registry."""

from collections.abc import Iterator

from cephtasks.registry import troubles
from cephtasks.registry.transport import Client

_SCOPES = ("registry:catalog:*",)


def catalog(client: Client) -> Iterator[str]:
    """The names of all repositories, in the registry's order, page after page.

    Raises NotARegistry for an answer of another shape, and what the client raises.
    """
    seen: set[str] = set()
    target = "/v2/_catalog"
    while target:
        seen.add(target)
        answer = client.send("GET", target, "the catalog", _SCOPES)
        try:
            yield from _repositories(answer.json())
        except (ValueError, TypeError) as error:
            raise troubles.not_a_registry(client.host, "its catalog is not as specified") from error
        target = answer.links.get("next", {}).get("url", "")
        if target in seen:
            raise troubles.not_a_registry(client.host, "its catalog never ends")


def _repositories(document: object) -> list[str]:
    """The names of one page; some registries send null for none."""
    names = document.get("repositories") if isinstance(document, dict) else 0
    if names is None:
        return []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise TypeError("repositories is not a list of names")
    return names
