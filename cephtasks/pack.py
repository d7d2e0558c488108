"""Pack: put a tree onto a base image, as an image in the store and in the engine."""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cephtasks import components, console, index_cache, intake, layering, oci, previous, repairs
from cephtasks.delivery import Delivery
from cephtasks.errors import TreeChanged
from cephtasks.folder import index_folder
from cephtasks.intake import Places
from cephtasks.layering import Material
from cephtasks.plan import Plan, plan
from cephtasks.previous import BASE_ID, Previous
from cephtasks.repairs import Repairs
from cephtasks.settings import Settings
from cephtasks.source import Source, labels
from cephtasks.tree import Entry, Index, Kind, resolve

BASE_NAME = "org.opencontainers.image.base.name"  # image-spec, annotations.md
_UNKNOWN_TIME = "1980-01-01T00:00:00Z"


@dataclass(frozen=True)
class Packed:
    """An image in the store: its name, its id (none in a dry run), layers that were kept and written.

    `arrive` returns once the engine has the image too, unless it gets that on demand; raises EngineRefused,
    StoreFailed.
    """

    name: str
    id: str
    kept: Sequence[oci.Layer] = ()
    written: Sequence[oci.Layer] = ()
    arrive: Callable[[], None] = field(default=lambda: None, compare=False)

    @property
    def layers(self) -> Sequence[oci.Layer]:
        """The layers above the base, bottom first."""
        return [*self.kept, *self.written]


@dataclass(frozen=True)
class Gathered:
    """What an image is to be packed from: a tree with the repairs that it still needs, a base, a stack.

    `index` is of the tree and the repairs, `below` of the base.
    """

    index: Index
    below: Index
    material: Material
    before: Previous
    repaired: Repairs


@dataclass(frozen=True)
class Prepared:
    """All that is decided before a layer is written; not the index, for the plan has what is needed of it."""

    material: Material
    before: Previous
    repaired: Repairs
    plan: Plan


def pack(
    settings: Settings,
    places: Places,
    folder: Path,
    source: Source | None,
    onto: str = "",
    compact: bool = False,
) -> Packed:
    """Put an install tree onto BASE_IMAGE, under IMAGE_NAME; `source` is what the tree was compiled from.

    The stack of the image before is kept, and what changed is appended. With no image before, the same
    tree and base give the same image. Raises TreeInvalid, TreeChanged, ImageNotFound, BaseTooDeep,
    StoreFailed, StateUnwritable, EngineRefused, and for `onto` what reading a registry raises.
    """
    packed = begin(settings, places, folder, source, onto, compact)
    packed.arrive()
    return packed


def begin(
    settings: Settings,
    places: Places,
    folder: Path,
    source: Source | None,
    onto: str = "",
    compact: bool = False,
    base: oci.Image | None = None,
) -> Packed:
    """Pack a tree as `pack` does, without waiting for the engine to have what the store has.

    A `base` of the store stands for BASE_IMAGE, which the engine then need not have.
    """
    if places.engine.dry:
        count = len(index_folder(folder))
        places.engine.require_image(settings.base_image, "invoke fetch-base")
        console.say(f"would pack {count} entries of {folder} onto {settings.base_image}")
        return Packed(settings.image_name, "")
    prepared = prepare(settings, places, folder, onto, compact, base)
    base, material = prepared.material.base, prepared.material
    created = (source.committed if source else None) or _created(base)
    kept = prepared.before.appended[: prepared.plan.kept]
    told = {**(labels(source) if source else {}), BASE_NAME: settings.base_image, BASE_ID: base.id}
    new = prepared.plan.layers
    delivery = Delivery(
        places.store,
        places.engine,
        settings.image_name,
        below=[*base.layers, *(item.layer for item in kept)],
        above=layering.tars(places, new, material) if new else None,
        near=[settings.base_image],
        on_demand=settings.load_on_demand,
    )
    try:
        with delivery:
            written = layering.write(places, new, material, settings.layer_compression, created)
            image = oci.append(base, [*kept, *written], created, {**told, **prepared.repaired.labels()})
            delivery.complete(image)
    except TreeChanged:
        _cache(settings, folder).unlink(missing_ok=True)
        raise
    layers = [item.layer for item in kept], [item.layer for item in written]
    return Packed(settings.image_name, image.id, *layers, delivery.wait)


def prepare(
    settings: Settings,
    places: Places,
    folder: Path,
    onto: str = "",
    compact: bool = False,
    base: oci.Image | None = None,
) -> Prepared:
    """Decide what packing a tree means; nothing is written but caches. Raises as `pack` does."""
    found = gather(settings, places, folder, onto, base)
    table = components.extend(components.CEPH, settings.components)
    height = len(found.material.base.layers)
    planned = plan(found.below, found.index, found.before.layers, table, height, compact)
    return Prepared(found.material, found.before, found.repaired, planned)


def gather(
    settings: Settings, places: Places, folder: Path, onto: str = "", base: oci.Image | None = None
) -> Gathered:
    """Find what packing a tree starts from; nothing is written but caches. Raises as `pack` does."""
    index = index_cache.index_folder(folder, _cache(settings, folder))
    if base is None:
        wanted = places.engine.require_image(settings.base_image, "invoke fetch-base")
        base = intake.base(places, wanted, settings.registry, settings.layer_compression)
    below = places.store.files(base)
    before = previous.find(settings, places, base, onto)
    if not before.repairs.files:
        return Gathered(index, below, Material(folder.joinpath, base), before, before.repairs)
    repaired = _still_needed(before.repairs, index, below, settings.source_dir)
    sources = {path: settings.source_dir / source for path, source in repaired.files.items()}
    material = Material(lambda path: sources[path] if path in sources else folder / path, base)
    return Gathered({**index, **dict(_entries(repaired, sources))}, below, material, before, repaired)


def append(
    places: Places, below: oci.Image, index: Index, sources: dict[str, Path], added: Repairs, compression: str
) -> oci.Image:
    """The image with what some files change in it in layers on top; `below` where that is nothing.

    The layers are written to the store. Raises TreeInvalid, TreeChanged, BaseTooDeep, StoreFailed.
    """
    planned = plan(places.store.files(below), index, base_layers=len(below.layers))
    if not planned.layers:
        return below
    created = _created(below)
    material = Material(sources.__getitem__, below)
    written = layering.write(places, planned.layers, material, compression, created)
    return oci.append(below, written, created, (repairs.read(below.labels) | added).labels())


def _still_needed(noted: Repairs, index: Index, base: Index, source_dir: Path) -> Repairs:
    """The repairs that the tree does not bring itself, and whose files the build still has."""
    brought = {resolve(path, base) for path, entry in index.items() if entry.kind is not Kind.FOLDER}
    gone = {path for path, source in noted.files.items() if not (source_dir / source).is_file()}
    return noted.without(frozenset(brought | gone))


def _entries(repaired: Repairs, sources: Mapping[str, Path]) -> Iterator[tuple[str, Entry]]:
    for path, source in sources.items():
        yield path, layering.entry_of(path, source)
    for path, target in repaired.links.items():
        yield path, Entry(path, Kind.SYMLINK, 0o777, target=target)


def tree_key(folder: Path) -> str:
    """What a tree's own files below STATE_DIR are called: one name for each folder."""
    return hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:16]


def _cache(settings: Settings, folder: Path) -> Path:
    """Where the hashes of a tree's files are remembered."""
    return settings.state_dir / "trees" / f"{tree_key(folder)}.jsonl"


def _created(image: oci.Image) -> str:
    return str(image.config_document.get("created", _UNKNOWN_TIME))
