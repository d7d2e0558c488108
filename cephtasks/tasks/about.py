"""About: the tasks that tell how things stand and change nothing."""

from cephtasks.keys import KEYS
from cephtasks.tasks import report
from cephtasks.tasks.session import Session
from cephtasks.tasks.typed import typed


@typed("IMAGE_NAME", "REGISTRY", "REPOSITORY", "TAG")
def status(run: Session, json: bool = False) -> None:
    """Show the image's layers, what a push would send, and how long each step took."""
    from cephtasks import status as look

    taken = run.stages.of(run.settings.image_name)
    report.status(look.read(run.settings, run.stock), taken, json)


@typed("SOURCE_DIR", "BUILDER_IMAGE", "BASE_IMAGE", "REGISTRY", "STATE_DIR", "NODES")
def doctor(run: Session, json: bool = False) -> None:
    """Look for all that `build fix push nodes.pull` needs, and tell what to type for the rest."""
    from cephtasks.doctor import Doctor, require_ready

    parts = list(Doctor(run.settings, lambda: run.engine, run.registry, lambda: run.fleet).look())
    report.parts(parts, json)
    require_ready(parts)


@typed(*(key.name for key in KEYS))
def settings(run: Session, json: bool = False) -> None:
    """Show every setting, and where its value came from."""
    report.settings(run.settings, json)
