"""Registry: the tasks around a registry of this machine's own."""

from cephtasks import console, reference
from cephtasks.tasks import report
from cephtasks.tasks.session import Session
from cephtasks.tasks.typed import typed


@typed("REGISTRY", "STATE_DIR")
def up(run: Session) -> None:
    """Start a registry on this machine, at REGISTRY."""
    from cephtasks import local_registry

    console.result(local_registry.up(run.settings, lambda: run.engine, run.dry).host)


@typed("REGISTRY", "STATE_DIR")
def down(run: Session) -> None:
    """Stop the registry that `registry.up` started."""
    from cephtasks import local_registry

    local_registry.down(run.settings, lambda: run.engine, run.dry)


@typed(
    "REGISTRY_CA",
    "REGISTRY_INSECURE",
    "STATE_DIR",
    positional=("a", "b"),
    checks={"a": reference.parse, "b": reference.parse},
    a="the image that a node has",
    b="the image that it is to have",
    json="print one JSON document on stdout",
)
def diff(run: Session, a: str, b: str, json: bool = False) -> None:
    """Show what changed from image A to B, and what a node fetches."""
    from cephtasks import intake
    from cephtasks.difference import compare

    one, other = (intake.from_registry(run.stock, reference.parse(name)) for name in (a, b))
    report.difference(compare(one, other, lambda layer: intake.known_files(run.stock, layer)), json)
