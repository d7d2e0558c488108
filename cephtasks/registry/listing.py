"""Listings: follow a list of names from its first page to its last.

Spec: https://github.com/opencontainers/distribution-spec/blob/main/spec.md, Listing Tags, and RFC 8288.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from urllib.parse import urljoin

import requests

from cephtasks.registry import troubles
from cephtasks.registry.retries import persist
from cephtasks.registry.transport import Client


@dataclass(frozen=True)
class Listing:
    """A list that a registry keeps: its path, its key in each page, its name in errors, and its scopes.

    A page may be told with any of the statuses in `ok`; one that is not 200 has no names.
    """

    path: str
    key: str
    what: str
    scopes: tuple[str, ...]
    ok: tuple[int, ...] = (200,)


def names(client: Client, listing: Listing) -> Iterator[str]:
    """The names of a list, in the registry's order, page after page; only a missing Link is the end.

    Raises NotARegistry for an answer of another shape, and what the client raises.
    """
    seen: set[str] = set()
    target = f"{client.base}{listing.path}"
    while target:
        seen.add(target)
        answer = persist(partial(client.send, "GET", target, listing.what, listing.scopes, listing.ok))
        if answer.status_code != 200:
            return
        yield from _page(client, listing, answer)
        target = _next(client, listing, answer)
        if target in seen:
            raise troubles.not_a_registry(client.base, f"{listing.what} never ends")


def _page(client: Client, listing: Listing, answer: requests.Response) -> list[str]:
    """The names of one page; some registries send null for none."""
    try:
        found = answer.json()[listing.key]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise troubles.not_a_registry(client.base, f"{listing.what} is not as specified") from error
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise troubles.not_a_registry(client.base, f"{listing.what} is not a list of names")
    return found


def _next(client: Client, listing: Listing, answer: requests.Response) -> str:
    """The URL of the page after this one, or nothing."""
    try:
        link = answer.links.get("next", {}).get("url", "")
        return urljoin(answer.url, link) if link else ""
    except ValueError as error:
        raise troubles.not_a_registry(client.base, f"{listing.what} goes on at no address") from error
