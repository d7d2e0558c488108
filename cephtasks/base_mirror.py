"""Base mirror: keep a copy of the base image in the registry of the lab."""

from collections.abc import Callable
from dataclasses import replace

from cephtasks import console
from cephtasks.errors import CephtasksError, UsageError
from cephtasks.reference import parse
from cephtasks.registry import Client, OnProgress
from cephtasks.registry.copying import copy
from cephtasks.registry.documents import has
from cephtasks.settings import Settings


def bring(settings: Settings, connect: Callable[[str], Client], on_progress: OnProgress) -> str:
    """Copy BASE_IMAGE to REGISTRY, under its own path and tag, for all platforms; the name that it has there.

    Where it cannot be copied, a copy that is there will do. `connect` reaches a registry by its host.
    Raises what `registry.copy` raises.
    """
    origin = parse(settings.base_image)
    target = replace(origin, registry=settings.registry)
    if origin == target:
        return settings.base_image
    console.say(f"copying {settings.base_image} to {target}")
    kept = connect(target.registry)
    try:
        done = copy(connect(origin.registry), origin, kept, target, on_progress=on_progress)
        console.say(f"sent {console.size(done.uploaded_bytes)} to {target.registry}")
    except UsageError:
        raise
    except CephtasksError as error:
        if not has(kept, target):
            raise
        console.warn(f"{error.fact}; the copy in {target.registry} is taken as it is")
    return str(target)
