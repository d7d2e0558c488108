"""Reading: the tasks that tell what registries hold."""

from typing import TYPE_CHECKING, Any

from cephtasks import console, platforms, reference
from cephtasks.tasks.session import Session
from cephtasks.tasks.typed import typed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cephtasks.registry import Client

REACHED = ("REGISTRY_CA", "REGISTRY_INSECURE")
_FILTER_HELP = "only repositories whose names match this glob, as ceph/*"
_REPOSITORY_HELP = "a repository of REGISTRY, or host/repository (default: REPOSITORY)"


def repository_check(text: str) -> object:
    """Raise ReferenceInvalid for what names no repository."""
    return reference.parse_repository(text, "localhost")


@typed(
    "REGISTRY",
    *REACHED,
    tags="tell the tags of each",
    sizes="tell the bytes of each",
    filter=_FILTER_HELP,
)
def catalog(
    run: Session,
    tags: bool = False,
    sizes: bool = False,
    filter: str = "*",  # noqa: A002 — its name on the command line
) -> None:
    """List the repositories of the registry, as JSON."""
    from cephtasks import registry

    client = run.registry()
    names = registry.catalog(client, filter)
    listed = _described(client, names, tags, sizes) if tags or sizes else names
    console.result_json({"repositories": list(listed)}, indent=4)


@typed(
    "REGISTRY",
    *REACHED,
    positional="repository",
    checks={"repository": repository_check},
    repository=_REPOSITORY_HELP,
)
def tags(run: Session, repository: str = "", json: bool = False) -> None:
    """List the tags of a repository, one a line."""
    from cephtasks.registry.tags import require_tags
    from cephtasks.tasks import registry_report as report

    named = reference.parse_repository(repository or run.settings.repository, run.settings.registry)
    report.tags(named, require_tags(run.registry(named.registry), named.repository), json)


@typed(
    *REACHED,
    positional="reference",
    checks={"reference": reference.parse, "platform": platforms.parse},
    reference="a name in a registry, with tag or digest",
    platform="of several images that for os/architecture[/variant] (default: this machine's)",
)
def inspect(run: Session, reference: str, platform: str = "", json: bool = False) -> None:
    """Show what a name means in a registry: index, manifest, config, layers."""
    from cephtasks.reference import parse
    from cephtasks.registry.inspection import inspect
    from cephtasks.tasks import registry_report as report

    named, wanted = parse(reference), platforms.parse(platform) if platform else None
    report.inspected(inspect(run.registry(named.registry), named, wanted), json)


@typed("REGISTRY", *REACHED, filter=_FILTER_HELP)
def du(
    run: Session,
    filter: str = "*",  # noqa: A002 — its name on the command line
    json: bool = False,
) -> None:
    """Show the bytes of each repository, and of all."""
    from cephtasks import registry
    from cephtasks.registry.contents import contents
    from cephtasks.registry.usage import usage
    from cephtasks.tasks import registry_report as report

    client = run.registry()
    report.usage(usage(contents(client, registry.catalog(client, filter))), json)


@typed(
    *REACHED,
    "STATE_DIR",
    positional=("a", "b"),
    checks={"a": reference.parse, "b": reference.parse},
    a="the image that a node has",
    b="the image that it is to have",
)
def diff(run: Session, a: str, b: str, json: bool = False) -> None:
    """Show what changed from image A to B, and what a node fetches."""
    from cephtasks import intake
    from cephtasks.difference import compare
    from cephtasks.tasks import registry_report as report

    one, other = (intake.from_registry(run.stock, reference.parse(name)) for name in (a, b))
    report.difference(compare(one, other, lambda layer: intake.known_files(run.stock, layer)), json)


def _described(
    client: "Client", names: "Iterable[str]", tags: bool, sizes: bool
) -> "Iterable[dict[str, Any]]":
    """Each repository with its tags, its bytes, or both."""
    from cephtasks.registry.contents import contents
    from cephtasks.registry.tags import tags_of

    if not sizes:
        yield from ({"name": name, "tags": found} for name, found in tags_of(client, names))
        return
    for held in contents(client, names):
        told = {"tags": list(held.tags)} if tags else {}
        yield {"name": held.repository, **told, "bytes": held.bytes}
