"""Tags: list the tags of a repository."""

from collections.abc import Iterator

from cephtasks.registry.listing import Listing, names
from cephtasks.registry.scopes import pull_scopes
from cephtasks.registry.transport import Client


def tags(client: Client, repository: str) -> Iterator[str]:
    """The tags of a repository, in the registry's order; none where the registry does not know it.

    A catalog may name repositories whose tags are all gone. Raises NotARegistry, and what the client raises.
    """
    path, what = f"/v2/{repository}/tags/list", f"the list of tags of {repository}"
    return names(client, Listing(path, "tags", what, pull_scopes(repository), ok=(200, 404)))
