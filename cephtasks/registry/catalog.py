"""Catalog: list the repositories of a registry."""

from collections.abc import Iterator
from dataclasses import replace
from fnmatch import fnmatchcase

from cephtasks.errors import RegistryRefused
from cephtasks.registry.listing import Listing, names
from cephtasks.registry.scopes import CATALOG_SCOPES
from cephtasks.registry.transport import Client

_LISTING = Listing("/v2/_catalog", "repositories", "the catalog", CATALOG_SCOPES)
_LARGE_PAGES = "?n=1000"  # registry 2.8 reads its whole catalog for each page


def catalog(client: Client, matching: str = "*") -> Iterator[str]:
    """The names of all repositories that match a glob, in the registry's order.

    Raises NotARegistry for an answer of another shape, and what the client raises.
    """
    return (name for name in _all(client) if fnmatchcase(name, matching))


def _all(client: Client) -> Iterator[str]:
    """In large pages, or where the registry gives none of that size, in its own."""
    begun = False
    try:
        for name in names(client, replace(_LISTING, path=_LISTING.path + _LARGE_PAGES)):
            begun = True
            yield name
    except RegistryRefused as error:
        if begun or error.status != 400:
            raise
        yield from names(client, _LISTING)
