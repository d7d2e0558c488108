"""Worker: have an engine's machine compile for others, by distcc, in the builder image."""

import time
from collections.abc import Sequence
from ipaddress import ip_network

from cephtasks import console
from cephtasks.build_hosts import Address, BuildHost
from cephtasks.builder import launcher
from cephtasks.builder.compiling import require_image
from cephtasks.builder.jobs import jobs_for
from cephtasks.engine import Engine, RunSpec
from cephtasks.errors import WorkerArgumentInvalid, WorkerFailed
from cephtasks.settings import Settings

_PATIENCE = 30.0  # seconds for distccd to listen
_PAUSE = 0.05
# distccd serves no compiler that has no link to distcc there; CMake's choice, c++, has none in Debian.
_SERVE = """
mkdir -p /usr/lib/distcc
for compiler in cc c++ gcc g++ clang clang++; do
    ! command -v $compiler >/dev/null || ln -sf "$(command -v distcc)" /usr/lib/distcc/$compiler
done
exec distccd --daemon --no-detach --user nobody --log-stderr --log-level info "$@"
"""


def start(listen: Address, allowed: Sequence[str], settings: Settings, engine: Engine) -> BuildHost:
    """Start the worker of a port anew, on the engine's machine; what BUILD_HOSTS is to have for it.

    It takes as many jobs as BUILD_THREADS says, or cores and memory of its machine allow, from the allowed
    networks alone. Raises WorkerArgumentInvalid, WorkerFailed, ImageNotFound, LauncherMissing,
    ContainerFailed.
    """
    if not allowed and not listen.ip.is_loopback:
        raise WorkerArgumentInvalid(
            f"whoever reaches {listen.ip} could have the worker run what they like",
            "--allow NETWORK, as 10.0.0.0/24, says who may send jobs",
        )
    launcher.require(
        "distccd", "a worker needs", "invoke builder.image", require_image(settings, engine), engine
    )
    slots = jobs_for(engine.capacity(), settings.memory_per_job, settings.build_threads).all
    words = [f"--listen={listen.ip}", f"--port={listen.port}", f"--jobs={slots}"]
    words += [f"--allow={each}" for each in allowed or [str(ip_network(listen.ip))]]
    spec = RunSpec(
        image=settings.builder_image,
        entrypoint=("sh", "-c", _SERVE, "distccd"),
        command=tuple(words),
        # In a network of its own the worker would see another address than the one that sends jobs.
        network="host",
        capabilities=("SETGID", "SETUID"),
        purpose="worker",
    )
    engine.remove(_container(listen))
    engine.start(_container(listen), spec, {})
    if not engine.dry:
        _wait(listen, engine)
    return BuildHost(listen.host, listen.port, slots)


def stop(listen: Address, engine: Engine) -> None:
    """Stop the worker of a port; jobs that it had are compiled by those who sent them."""
    if not engine.running(_container(listen)):
        console.say(f"no worker of port {listen.port} runs on this engine")
    engine.remove(_container(listen))


def _container(listen: Address) -> str:
    """The name of the worker's container: one for each port."""
    return f"cephtasks-worker-{listen.port}"


def _wait(listen: Address, engine: Engine) -> None:
    deadline = time.monotonic() + _PATIENCE
    while b"listening on" not in (said := engine.said(_container(listen))):
        if time.monotonic() > deadline or not engine.running(_container(listen)):
            engine.remove(_container(listen))
            lines = said.decode(errors="replace").split("\n")
            telling = [line for line in lines if "ERROR" in line] or [line for line in lines if line] or [""]
            fact = f"distccd does not listen on {listen.host}:{listen.port}: {telling[0]}"
            raise WorkerFailed(fact, "another --listen, an address of the engine's machine and a free port")
        time.sleep(_PAUSE)
