"""Nodes: the tasks that bring an image to the nodes of a cluster, and look after them."""

import shlex

from cephtasks import console, reference
from cephtasks.errors import CephtasksError, PullNotTrusted
from cephtasks.tasks import nodes_report as report
from cephtasks.tasks.session import Session
from cephtasks.tasks.typed import typed

_CLUSTER = ("NODES", "NODES_CERTS", "AT_ONCE")
_TARGET = ("REGISTRY", "REPOSITORY", "TAG", "REGISTRY_CA", "REGISTRY_INSECURE")
_REFERENCE_HELP = "an image in a registry (default: REGISTRY/REPOSITORY:TAG)"


@typed(
    *_CLUSTER,
    *_TARGET,
    "IMAGE_NAME",
    positional="reference",
    checks={"reference": reference.parse},
    reference=_REFERENCE_HELP,
)
def pull(run: Session, reference: str = "", json: bool = False) -> None:
    """Bring the image that was pushed to every node."""
    from cephtasks import nodes
    from cephtasks.reference import parse

    fleet, name = run.fleet, parse(reference or run.settings.target)
    with run.stage("nodes.pull", of_another=bool(reference)):
        wanted = nodes.target(run.registry(name.registry), name)
        report.pulling(wanted, fleet)
        with console.bars() as bars:
            outcomes = nodes.pull(fleet, wanted, bars.update, report.pull_ended(bars))
        if not run.dry:
            report.pulled(wanted, outcomes, json)
        nodes.require_all(outcomes, f"invoke nodes.pull {reference}".strip())


@typed(
    *_CLUSTER,
    *_TARGET,
    positional="reference",
    checks={"reference": reference.parse},
    reference=_REFERENCE_HELP,
)
def status(run: Session, reference: str = "", json: bool = False) -> None:
    """Show each node's engine, image, free disk, and what a pull would fetch."""
    from cephtasks import nodes
    from cephtasks.reference import parse

    fleet, name = run.fleet, parse(reference or run.settings.target)
    wanted = None
    try:
        wanted = nodes.target(run.registry(name.registry), name)
    except CephtasksError as error:
        console.warn(f"what a pull would fetch is not known: {error.fact}")
    outcomes = nodes.look(fleet, name, wanted)
    report.standing(name, wanted, outcomes, json)
    nodes.require_all(outcomes)


@typed(
    *_CLUSTER,
    *_TARGET,
    "CHECK_TOOLS",
    positional="reference",
    repeatable=["tool"],
    checks={"reference": reference.parse},
    reference=_REFERENCE_HELP,
    tool="start this tool, in place of CHECK_TOOLS; may be given again and again",
)
def check(run: Session, tool: list[str], reference: str = "", json: bool = False) -> None:
    """Start the tools of the image on every node."""
    from cephtasks import nodes
    from cephtasks.reference import parse

    fleet, name = run.fleet, parse(reference or run.settings.target)
    wanted = nodes.target(run.registry(name.registry), name)
    names = tool or run.settings.check_tools
    outcomes = nodes.check(fleet, wanted, names, bool(tool))
    report.checked(wanted, outcomes, json)
    nodes.require_all(outcomes)


@typed(
    *_CLUSTER,
    "REGISTRY",
    "REPOSITORY",
    yes="do it; without this only what would go is shown",
)
def prune(run: Session, yes: bool = False, json: bool = False) -> None:
    """Show which images of REPOSITORY later ones replaced on the nodes, and remove them with --yes."""
    from cephtasks import nodes

    name = f"{run.settings.registry}/{run.settings.repository}"
    outcomes = nodes.prune(run.fleet, name, yes)
    report.pruned(outcomes, yes and not run.dry, json)
    nodes.require_all(outcomes)


@typed(
    *_CLUSTER,
    *_TARGET,
    "STATE_DIR",
    yes="put the registry's CA on the nodes that lack it",
)
def setup(run: Session, yes: bool = False, json: bool = False) -> None:
    """Tell what each node needs to pull from REGISTRY: a CA, an insecure entry, a login."""
    from cephtasks import nodes
    from cephtasks.reference import parse

    fleet, target = run.fleet, parse(run.settings.target)
    report.warn_strangers(target, fleet)
    run.registry(target.registry)  # which refuses a REGISTRY_CA that is none
    ca = run.ca_of(target.registry)
    outcomes = nodes.set_up(fleet, target, ca.read_bytes() if ca and yes else b"")
    report.set_up(target, outcomes, json)
    if any(isinstance(outcome.error, PullNotTrusted) for outcome in outcomes) and not yes:
        hint = f"{'' if ca else 'REGISTRY_CA=FILE '}invoke nodes.setup --yes puts the CA there"
    else:
        hint = "do what the table says, for each node"
    nodes.require_all(outcomes, hint)


@typed(
    *_TARGET,
    positional="reference",
    checks={"reference": reference.parse},
    reference=_REFERENCE_HELP,
    ansible="only the variables for ceph-ansible, as a file of group_vars",
    cephadm="only the line for cephadm",
    run="have cephadm begin, by `ceph` or `cephadm` of this machine",
    on="have it begin by those of HOST, reached by ssh",
)
def handover(
    session: Session,
    reference: str = "",
    ansible: bool = False,
    cephadm: bool = False,
    run: bool = False,
    on: str = "",
) -> None:
    """Tell cephadm or ceph-ansible to run the image that was pushed; prints what to type."""
    from cephtasks.nodes import handover as given
    from cephtasks.reference import parse
    from cephtasks.registry import resolve

    name = parse(reference or session.settings.target)
    image = name.with_digest(resolve(session.registry(name.registry), name))
    line, variables = given.cephadm_line(image), given.as_yaml(given.ansible_variables(image))
    if run or on:
        given.run(line, on, session.dry)
        console.result(str(image))
        return
    both = ansible == cephadm
    if cephadm or both:
        console.result(("# cephadm\n" if both else "") + shlex.join(line))
    if ansible or both:
        console.result(("\n# ceph-ansible, in group_vars/all.yml\n" if both else "") + variables)
