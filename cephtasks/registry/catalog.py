"""Catalog: list the repositories of a registry."""

from collections.abc import Iterator
from functools import partial
from urllib.parse import urljoin

import requests

from cephtasks.registry import troubles
from cephtasks.registry.retries import persist
from cephtasks.registry.scopes import CATALOG_SCOPES
from cephtasks.registry.transport import Client


def catalog(client: Client) -> Iterator[str]:
    """The names of all repositories, in the registry's order, page after page.

    Raises NotARegistry for an answer of another shape, and what the client raises.
    """
    seen: set[str] = set()
    target = f"{client.base}/v2/_catalog"
    while target:
        seen.add(target)
        answer = persist(partial(client.send, "GET", target, "the catalog", CATALOG_SCOPES))
        yield from _repositories(client, answer)
        target = _next(client, answer)
        if target in seen:
            raise troubles.not_a_registry(client.base, "its catalog never ends")


def _repositories(client: Client, answer: requests.Response) -> list[str]:
    """The names of one page; some registries send null for none."""
    try:
        names = answer.json()["repositories"]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise troubles.not_a_registry(client.base, "its catalog is not as specified") from error
    if names is None:
        return []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise troubles.not_a_registry(client.base, "its catalog is not a list of names")
    return names


def _next(client: Client, answer: requests.Response) -> str:
    """The URL of the page after this one, or nothing (RFC 8288)."""
    try:
        link = answer.links.get("next", {}).get("url", "")
        return urljoin(answer.url, link) if link else ""
    except ValueError as error:
        raise troubles.not_a_registry(client.base, "its catalog goes on at no address") from error
