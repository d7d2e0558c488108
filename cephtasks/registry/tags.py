"""Tags: list the tags of a repository."""

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import tee

from cephtasks.errors import ImageNotInRegistry
from cephtasks.registry.fanout import each
from cephtasks.registry.listing import Listing, names
from cephtasks.registry.scopes import pull_scopes
from cephtasks.registry.transport import Client


def tags(client: Client, repository: str) -> list[str]:
    """The tags of a repository, sorted; none where the registry does not know it.

    Registries give them in any order, and name repositories whose tags are all gone.
    Raises NotARegistry, and what the client raises.
    """
    path, what = f"/v2/{repository}/tags/list", f"the list of tags of {repository}"
    return sorted(names(client, Listing(path, "tags", what, pull_scopes(repository), ok=(200, 404))))


def tags_of(client: Client, repositories: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    """The name and the tags of each repository; raises what `tags` raises."""
    names, asked = tee(repositories)
    return zip(names, each(partial(tags, client), asked), strict=True)


def require_tags(client: Client, repository: str) -> list[str]:
    """The tags of a repository that has some; raises ImageNotInRegistry, and what `tags` raises."""
    found = tags(client, repository)
    if not found:
        raise ImageNotInRegistry(f"{client.host}/{repository} has no tags", "invoke catalog --tags")
    return found
