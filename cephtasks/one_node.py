"""One node: run a Ceph of a single node from an image, on the network of its host, and end it."""

import hashlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from cephtasks import delivery
from cephtasks.engine import Engine, EngineImage, Mount, RunSpec
from cephtasks.errors import CephForeign, CephNotStarted, ContainerFailed
from cephtasks.settings import Settings
from cephtasks.store import Store

_DATA = "/var/lib/ceph"
_OURS = "made-by-cephtasks"  # the file that tells that a config folder may be written to
_PATIENCE = 180.0  # seconds to come up; a first start took 15 on two cores
_PAUSE = 1.0
_STOPPING = 60  # seconds for the daemons to end by themselves
_STATUS = ("ceph", "--connect-timeout", "5", "status", "--format", "json")
_LAST_LINES = 5
_NETWORK = ("CEPH_NETWORK", "CEPH_PUBLIC_NETWORK")  # as a singlenode and as ceph-container's demo have it


@dataclass(frozen=True)
class OneNode:
    """A Ceph that runs: its container, the folder with its ceph.conf, and whether it had to be started."""

    container: str
    config: Path
    started: bool


def start(settings: Settings, store: Store, engine: Engine, name: str) -> OneNode:
    """Run a Ceph of one node from an image of the engine or the store, and wait until it serves.

    What runs already from the very image is left alone, what runs from another gives way; the data stays.
    Raises ImageNotFound, CephForeign, CephNotStarted, ContainerFailed, EngineRefused.
    """
    image = delivery.bring(store, engine, name, f"invoke build, or docker pull {name}")
    folder, container = settings.ceph_config_dir.absolute(), name_of(settings)
    here = bool(engine.socket)
    if here:
        _require_ours(folder)
    spec = _spec(engine, image, name, settings)
    running = engine.running(container) == image.id
    if not running:
        engine.remove(container, _STOPPING)
        if here and not engine.dry:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / _OURS).touch()
        engine.start(container, spec, {})
    if not engine.dry:
        _wait(engine, container)
    return OneNode(container, folder, not running)


def stop(settings: Settings, engine: Engine, wipe: bool) -> bool:
    """End it, the monitor last; with `wipe` its data goes too. Whether it ran."""
    container = name_of(settings)
    ran = bool(engine.running(container))
    engine.remove(container, _STOPPING)
    if wipe:
        engine.remove_volume(container)
        folder = settings.ceph_config_dir
        if (folder / _OURS).exists() and not engine.dry:
            for file in (*folder.glob("*.keyring"), folder / "ceph.conf", folder / _OURS):
                file.unlink(missing_ok=True)
    return ran


def name_of(settings: Settings) -> str:
    """The name of the container and of the volume with its data: one for each CEPH_CONFIG_DIR."""
    folder = os.fsencode(settings.ceph_config_dir.absolute())
    return f"cephtasks-ceph-{hashlib.sha256(folder).hexdigest()[:8]}"


def serves(status: Mapping[str, Any]) -> bool:
    """Whether a cluster can be used, by what `ceph status` tells in JSON, of version 10 or later."""
    osds = status["osdmap"].get("osdmap", status["osdmap"])
    health = status["health"].get("status") or status["health"].get("overall_status")
    ranks = status.get("fsmap", {}).get("by_rank") or ()
    active = all(rank["status"] == "up:active" for rank in ranks)
    return bool(osds["num_up_osds"]) and health != "HEALTH_ERR" and active


def _require_ours(folder: Path) -> None:
    """Raise CephForeign where a folder has the files of a cluster that is none of ours."""
    if folder.is_dir() and not (folder / _OURS).exists():
        foreign = next(iter((*folder.glob("ceph.conf"), *folder.glob("*.keyring"))), None)
        if foreign is not None:
            raise CephForeign(f"{foreign} is of another cluster", "CEPH_CONFIG_DIR=FOLDER in .env")


def _spec(engine: Engine, image: EngineImage, name: str, settings: Settings) -> RunSpec:
    """The container: by what the image itself has for a single node, or else by Ceph's daemons alone."""
    entrypoint, command = _means(engine, image, name)
    return RunSpec(
        name,
        command=command,
        entrypoint=entrypoint,
        env={"MON_IP": settings.mon_ip, **dict.fromkeys(_NETWORK, settings.ceph_network)},
        mounts=(Mount(settings.ceph_config_dir.absolute(), "/etc/ceph"),),
        volumes={name_of(settings): _DATA},
        network="host",
        purpose="ceph",
    )


def _means(engine: Engine, image: EngineImage, name: str) -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
    """Entrypoint and command.

    A singlenode, of https://github.com/systemslab/docker-cephdev, may lie in an image of ceph-container,
    whose own entrypoint.sh has a scenario named demo.
    """
    own = image.entrypoint[0].rpartition("/")[2] if image.entrypoint else ""
    if own == "singlenode":
        return None, ()
    if engine.has_program(image, "singlenode"):
        return ("singlenode",), ()
    if own == "entrypoint.sh":
        return None, ("demo",)
    if not engine.has_program(image, "ceph-mon"):
        raise CephNotStarted(f"{name} has neither a singlenode nor a ceph-mon", "invoke settings")
    script = resources.files("cephtasks").joinpath("one-node-ceph.sh").read_text()
    return ("sh", "-c", script, "one-node-ceph"), ()


def _wait(engine: Engine, container: str) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not _is_up(engine, container):
        if not engine.running(container):
            lines = engine.said(container).decode(errors="replace").strip().splitlines()
            raise CephNotStarted(
                f"Ceph ended: {' / '.join(lines[-_LAST_LINES:])}", f"docker logs {container}"
            )
        if time.monotonic() > deadline:
            raise CephNotStarted("Ceph does not come up", f"docker exec {container} ceph health detail")
        time.sleep(_PAUSE)


def _is_up(engine: Engine, container: str) -> bool:
    try:
        code, printed = engine.execute(container, _STATUS)
        return code == 0 and serves(json.loads(printed))
    except (ContainerFailed, ValueError, LookupError):
        return False  # it has ended, or as long as there is no monitor the client says something else
