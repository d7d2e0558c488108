"""Registry: the tasks around a registry of this machine's own."""

from cephtasks import console
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
