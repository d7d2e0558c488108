"""Builder: the tasks around the image with the compilers."""

from pathlib import Path

from cephtasks import build_hosts, console, reference
from cephtasks.tasks import builder_report
from cephtasks.tasks.session import Session
from cephtasks.tasks.typed import typed

_DEFAULT = "debian"
_LOOPBACK = "127.0.0.1:3632"


@typed(
    "BUILDER_IMAGE",
    positional="folder",
    checks={"from_": reference.parse},
    folder=f"what to make it from, a folder in builders/ (default: {_DEFAULT})",
    from_="an image to start from (default: the one that the folder's Dockerfile names)",
    deps_from="a source tree; also install what its install-deps.sh, debian/control or spec file asks for",
)
def image(run: Session, folder: str = "", from_: str = "", deps_from: str = "") -> None:
    """Make BUILDER_IMAGE, which has the compilers."""
    from cephtasks import build_dependencies, builder_image

    name, recipe = run.settings.builder_image, run.folder / "builders" / (folder or _DEFAULT)
    if deps_from:
        console.result(build_dependencies.make(name, recipe, Path(deps_from), run.engine, from_))
    else:
        console.result(builder_image.make(name, recipe, run.engine, from_))


@typed("BUILDER_IMAGE")
def list_(run: Session, json: bool = False) -> None:
    """List this engine's builder images, and what they can be made from."""
    from cephtasks import builders

    found = builders.find(run.folder / "builders", run.engine)
    builder_report.builders(found, run.settings.builder_image, json)


@typed(
    *("BUILDER_IMAGE", "BUILD_THREADS", "MEMORY_PER_JOB"),
    repeatable=["allow"],
    checks={"listen": build_hosts.address, "allow": build_hosts.network},
    listen=f"ADDRESS[:PORT] of the engine's machine to take jobs at (default: {_LOOPBACK})",
    allow="who may send jobs, an address or a network; may be given again and again",
    stop="stop the worker of that port",
)
def worker(run: Session, allow: list[str], listen: str = "", stop: bool = False) -> None:
    """Have the engine's machine compile for others; prints what BUILD_HOSTS is to have."""
    from cephtasks.builder import worker as workers

    at = build_hosts.address(listen or _LOOPBACK)
    if stop:
        workers.stop(at, run.engine)
    else:
        console.result(str(workers.start(at, allow, run.settings, run.engine)))
