"""Running: the tasks that run a Ceph of one node from an image."""

from cephtasks import console, reference
from cephtasks.tasks.session import Session
from cephtasks.tasks.typed import typed

_PLACE = ("CEPH_CONFIG_DIR", "STATE_DIR")


@typed(
    *("IMAGE_NAME", "MON_IP", "CEPH_NETWORK", *_PLACE),
    positional="reference",
    checks={"reference": reference.parse},
    reference="an image of the engine (default: IMAGE_NAME)",
)
def start(run: Session, reference: str = "") -> None:
    """Run a Ceph of one node from the image; its data outlives it."""
    from cephtasks import one_node

    if not run.dry:
        console.say("starting Ceph")
    found = one_node.start(run.settings, run.store, run.engine, reference or run.settings.image_name)
    if not run.dry:
        console.say(
            f"{'up' if found.started else 'was up already'}: docker exec {found.container} ceph status"
        )
    console.result(str(found.config / "ceph.conf"))


@typed(*_PLACE, wipe="remove its data and its ceph.conf too")
def stop(run: Session, wipe: bool = False) -> None:
    """End the Ceph that `start` runs."""
    from cephtasks import one_node

    if not one_node.stop(run.settings, run.engine, wipe):
        console.say("no Ceph of ours ran on this engine")
