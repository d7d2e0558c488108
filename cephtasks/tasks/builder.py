"""Builder: the tasks around the image with the compilers."""

from cephtasks import console
from cephtasks.tasks.session import Session
from cephtasks.tasks.typed import typed


@typed("BUILDER_IMAGE")
def image(run: Session) -> None:
    """Make BUILDER_IMAGE, which has the compilers."""
    from cephtasks import builder_image

    console.result(
        builder_image.make(run.settings.builder_image, run.folder / "builders" / "debian", run.engine)
    )
