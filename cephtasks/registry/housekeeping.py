"""Housekeeping: look at the ages in a repository, and carry out what was decided to go."""

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

from cephtasks.errors import ImageNotInRegistry
from cephtasks.keep_rules import KeepRules
from cephtasks.reference import Reference
from cephtasks.registry.ages import created
from cephtasks.registry.contents import contents
from cephtasks.registry.deletion import delete_manifest, delete_tag
from cephtasks.registry.pruning import Prune, decide
from cephtasks.registry.transport import Client


def plan_prune(client: Client, repository: str, rules: KeepRules) -> Prune:
    """What goes of a repository by these rules now; raises ImageNotInRegistry where it has no tags."""
    (held,) = contents(client, [repository])
    if not held.tags:
        raise ImageNotInRegistry(f"{client.host}/{repository} has no tags", "invoke catalog --tags")
    return decide(held, created(client, held), rules, datetime.now(UTC))


def carry_out(client: Client, prune: Prune) -> None:
    """Take away what was decided to go; what is gone meanwhile is as well.

    Raises DeletesDisabled, and what the client raises.
    """
    whole = Reference(client.host, prune.repository)
    named = {verdict.tag: verdict.digest for verdict in prune.going}
    for tag in prune.tags:
        with suppress(ImageNotInRegistry):
            delete_tag(client, replace(whole, tag=tag, digest=named[tag]))
    for digest in prune.manifests:
        with suppress(ImageNotInRegistry):
            delete_manifest(client, whole.with_digest(digest))
