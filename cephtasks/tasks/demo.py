"""Demo: the task that shows the whole chain."""

from cephtasks.tasks.session import Session
from cephtasks.tasks.typed import typed


@typed("STATE_DIR", keep="leave the demo's source, images and registry in place")
def demo(run: Session, keep: bool = False) -> None:
    """Show the whole chain on a small tree laid out as Ceph's."""
    from cephtasks import demo as chain

    chain.show(run.folder, run.settings.state_dir, run.engine, keep)
