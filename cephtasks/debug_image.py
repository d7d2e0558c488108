"""Debug image: pack a tree without its debug information, and that apart, on top of it."""

from dataclasses import replace
from pathlib import Path

from cephtasks import console
from cephtasks.intake import Places
from cephtasks.pack import Packed, begin, pack, tree_key
from cephtasks.settings import Settings
from cephtasks.source import Source
from cephtasks.stripping import Stripped, debug_name, debug_tag, strip


def begin_apart(
    settings: Settings,
    places: Places,
    folder: Path,
    source: Source | None,
    onto: str = "",
    compact: bool = False,
) -> Packed:
    """Pack a tree stripped as IMAGE_NAME, and its debug information as an image on top; the former's.

    The engine may not have all of the latter yet. Raises what `strip` and `pack` raise.
    """
    stripped = split(settings, places, folder)
    packed = pack(settings, places, stripped.tree, source, onto, compact)
    if stripped.debug is None:
        return packed
    below = None
    if not places.engine.dry:
        below = places.store.require_image(packed.name)
        places.store.put_image(below, below.id)  # for when the name goes to another
    above = begin(beside(settings), places, stripped.debug, source, compact=compact, base=below)
    console.say(f"debug information of {stripped.files} files is in {above.name}")
    return replace(packed, arrive=above.arrive)


def split(settings: Settings, places: Places, folder: Path) -> Stripped:
    """The tree stripped, and its debug information, below STATE_DIR. Raises what `strip` raises."""
    cache = settings.state_dir / "stripped" / tree_key(folder)
    return strip(folder, places.engine, settings.builder_image, cache)


def beside(settings: Settings) -> Settings:
    """The settings for the image with the debug information."""
    name = settings.image_name
    return replace(settings, base_image=name, image_name=debug_name(name), tag=debug_tag(settings.tag))
