"""Registry: the tasks around a registry of this machine's own."""

from cephtasks import console
from cephtasks.tasks import local_registry_report as report
from cephtasks.tasks.session import Session
from cephtasks.tasks.typed import typed


@typed(
    "REGISTRY",
    "STATE_DIR",
    "REGISTRY_CA",
    "REGISTRY_INSECURE",
    tls="encrypt, with a certificate from a CA of our own",
    htpasswd="ask for a login, one of this file's (htpasswd -Bc FILE USER makes it)",
    listen="let other machines in at ADDRESS[:PORT], 0.0.0.0 for all addresses (default: loopback)",
    mirror_of="pass on what another registry has, and keep it for a week: host[:port] or URL",
)
def up(run: Session, tls: bool = False, htpasswd: str = "", listen: str = "", mirror_of: str = "") -> None:
    """Start a registry on this machine, at REGISTRY."""
    from cephtasks.local_registry import lifecycle
    from cephtasks.local_registry.terms import agreed

    chosen = run.settings
    terms = agreed(chosen.registry, listen, tls, htpasswd, mirror_of, chosen.registry_ca)
    console.result(lifecycle.up(chosen, terms, lambda: run.engine, run.dry).host)


@typed("REGISTRY", "STATE_DIR")
def down(run: Session) -> None:
    """Stop the registry that `registry.up` started."""
    from cephtasks.local_registry import lifecycle

    lifecycle.down(run.settings, lambda: run.engine, run.dry)


@typed("STATE_DIR")
def status(run: Session, json: bool = False) -> None:
    """Show whether our own registry is up, and what it holds."""
    from cephtasks.local_registry import standing
    from cephtasks.local_registry.folder import RegistryFolder

    folder = RegistryFolder.of(run.settings.state_dir)
    report.standing(standing.look(folder, lambda: run.engine), json)


@typed(
    "STATE_DIR",
    untagged="also manifests that no tag leads to; nodes can no longer pull those by digest",
)
def gc(run: Session, untagged: bool = False, json: bool = False) -> None:
    """Remove from our own registry what no manifest names."""
    from cephtasks.local_registry import lifecycle

    collected = lifecycle.collect(run.settings, untagged, lambda: run.engine, run.dry)
    report.collected(collected, run.dry, json)
