"""Nodes: the tasks that bring an image to the nodes of a cluster."""

from cephtasks import console, reference
from cephtasks.tasks import nodes_report as report
from cephtasks.tasks.session import Session
from cephtasks.tasks.typed import typed

_CLUSTER = ("NODES", "NODES_CERTS", "AT_ONCE")
_TARGET = ("REGISTRY", "REPOSITORY", "TAG", "REGISTRY_CA", "REGISTRY_INSECURE")
_REFERENCE_HELP = "an image in a registry (default: REGISTRY/REPOSITORY:TAG)"
_JSON_HELP = "print one JSON document on stdout"


@typed(
    *_CLUSTER,
    *_TARGET,
    positional="reference",
    checks={"reference": reference.parse},
    reference=_REFERENCE_HELP,
    json=_JSON_HELP,
)
def pull(run: Session, reference: str = "", json: bool = False) -> None:
    """Bring the image that was pushed to every node."""
    from cephtasks import nodes
    from cephtasks.reference import parse

    fleet, name = run.fleet, parse(reference or run.settings.target)
    wanted = nodes.target(run.registry(name.registry), name)
    report.pulling(wanted, fleet)
    with console.bars() as bars:
        outcomes = nodes.pull(fleet, wanted, bars.update, report.pull_ended(bars))
    if not run.dry:
        report.pulled(wanted, outcomes, json)
    nodes.require_all(outcomes, f"invoke nodes.pull {reference}".strip())
