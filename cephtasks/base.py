"""Base: fetch the image that the compiled files go onto."""

from dataclasses import dataclass

from cephtasks import console
from cephtasks.engine import Engine, OnProgress
from cephtasks.errors import PullFailed
from cephtasks.settings import Settings


@dataclass(frozen=True)
class Fetched:
    """The base image: its id (empty where a dry run did not fetch it), its names, whether it was pulled."""

    id: str
    name: str
    alias: str
    pulled: bool


def fetch(settings: Settings, engine: Engine, on_progress: OnProgress) -> Fetched:
    """Pull BASE_IMAGE and give it the name BASE_ALIAS; where it cannot be pulled, one that is there will do.

    `on_progress` gets layer, bytes done, bytes in all, and what is done.
    Raises PullFailed, EngineRefused.
    """
    name, alias = settings.base_image, settings.base_alias
    console.say(f"pulling {name}")
    pulled = not engine.dry
    try:
        image = engine.pull(name, on_progress)
    except PullFailed as error:
        image = engine.image(name)
        if image is None:
            raise
        pulled = False
        console.warn(f"{error.fact}; the image that is here is taken as it is")
    engine.tag(image.id if image else name, alias)
    return Fetched(image.id if image else "", name, alias, pulled)
