"""Base: fetch the image that the compiled files go onto."""

from dataclasses import dataclass

from cephtasks import console
from cephtasks.engine import Engine, OnProgress
from cephtasks.errors import PullFailed
from cephtasks.reference import parse
from cephtasks.settings import Settings


@dataclass(frozen=True)
class Fetched:
    """The base image: its id (empty where a dry run did not fetch it), its names, whether it was pulled."""

    id: str
    name: str
    alias: str
    pulled: bool


def fetch(settings: Settings, engine: Engine, on_progress: OnProgress, copy: str = "") -> Fetched:
    """Pull BASE_IMAGE and give it the name BASE_ALIAS; where it cannot be pulled, one that is there will do.

    With `copy`, the name of a copy of it, that is pulled, and then has the name BASE_IMAGE too.
    `on_progress` gets layer, bytes done, bytes in all, and what is done.
    Raises PullFailed, EngineRefused.
    """
    name, alias = copy or settings.base_image, settings.base_alias
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
    if name != settings.base_image:
        _name_as_base(settings.base_image, image.id if image else name, name, engine)
    return Fetched(image.id if image else "", name, alias, pulled)


def _name_as_base(base_image: str, image: str, copy: str, engine: Engine) -> None:
    """A name with a digest is an engine's only by a pull from there."""
    if parse(base_image).digest:
        console.warn(
            f"the engine knows the base as {copy} only: BASE_IMAGE={copy} in .env makes pack find it"
        )
    else:
        engine.tag(image, base_image)
