"""Tasks: what a person types, put together for Invoke."""

import atexit
import gc
from pathlib import Path

from invoke.collection import Collection

from cephtasks.tasks import (
    about,
    builder,
    compiling,
    demo,
    housekeeping,
    image,
    nodes,
    reading,
    registry,
    running,
)
from cephtasks.tasks.typed import SettingsTask

# What is loaded stays to the end. To look for garbage among it, meanwhile and once more when Python ends,
# takes a fifth of the time of a short task.
gc.set_threshold(100_000)
atexit.register(gc.freeze)

_TOP = (
    *(image.fetch_base, image.build, compiling.compile, image.pack, image.check, image.fix),
    *(image.tag, image.push, image.compact, image.prune, reading.catalog),
    *(about.status, about.settings, about.doctor, compiling.shell, demo.demo),
    *(running.start, running.stop),
)

_REGISTRY = (
    *(registry.up, registry.down, registry.status, registry.gc),
    *(reading.tags, reading.inspect, reading.du, reading.diff),
    *(housekeeping.copy, housekeeping.delete, housekeeping.prune),
)


def namespace(folder: Path) -> Collection:
    """All tasks, for a `tasks.py` in `folder`; the `.env` beside it holds the settings."""
    registries = Collection("registry", *_REGISTRY)
    builders = Collection("builder", builder.image, builder.list_, builder.worker)
    cluster = Collection(
        "nodes", nodes.pull, nodes.status, nodes.check, nodes.prune, nodes.setup, nodes.handover
    )
    root = Collection(*_TOP, registries, builders, cluster)
    root.configure({"cephtasks": {"folder": str(folder)}})
    _tell_names(root)
    return root


def _tell_names(root: Collection) -> None:
    names = {primary: {primary, *aliases} for primary, aliases in root.task_names.items()}
    every = set().union(*names.values())
    for primary, own in names.items():
        task = root[primary]
        if isinstance(task, SettingsTask):
            task.know_names(own, every)
