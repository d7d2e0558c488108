"""Checks: tell what is not well in an image: its tools, and the files that a loader or a kernel starts."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cephtasks import console, delivery, goal, intake, loader, oci, pack, tools, tree
from cephtasks.contents import contents_of
from cephtasks.engine import EngineImage, OnProgress
from cephtasks.errors import CheckFailed
from cephtasks.findings import Finding
from cephtasks.inspection import Inspection, inspect
from cephtasks.intake import Places, Stock
from cephtasks.libraries import candidates
from cephtasks.loader import Loader
from cephtasks.mending import plan_repair
from cephtasks.plugins import BINDINGS, is_binding
from cephtasks.previous import BASE_ID
from cephtasks.reference import parse
from cephtasks.settings import Settings
from cephtasks.tools import Tool
from cephtasks.tree import Index, Kind


@dataclass(frozen=True)
class Checked:
    """What was found of an image; so many objects and scripts of it were looked at."""

    name: str
    findings: tuple[Finding, ...]
    objects: int = 0
    scripts: int = 0

    @property
    def faulty(self) -> tuple[Finding, ...]:
        """What is not well."""
        return tuple(finding for finding in self.findings if not finding.ok)

    def require_ok(self, hint: str = "") -> None:
        """Raise CheckFailed where something is not well."""
        if self.faulty:
            named = ", ".join(f"{finding.tool} ({finding.problem})" for finding in self.faulty[:_NAMED])
            more = f" and {len(self.faulty) - _NAMED} more" if len(self.faulty) > _NAMED else ""
            mends = any(finding.better for finding in self.faulty)
            raise CheckFailed(
                f"not well: {named}{more}", hint or ("invoke fix" if mends else "invoke check --json")
            )


_NAMED = 5  # of what is not well, in an error; the table has all


def check(
    settings: Settings, places: Places, name: str, names: Sequence[str] = (), deep: bool = False
) -> Checked:
    """Start the tools of an image of the engine, and look at its files.

    Those are the ones above its base and those of the base that touches; with `deep` all. Where tools are
    named they must be there, and only they are started; files are looked at then only with `deep`.
    Raises ToolInvalid, ToolsMissing, ImageNotFound, ContainerFailed, EngineRefused, StoreFailed, BlobDamaged.
    """
    there = delivery.bring(places.store, places.engine, name, f"invoke build, or docker pull {name}")
    image = _stored(settings, places, there, deep) if deep or not names else None
    wanted = names or settings.check_tools
    if image is None:
        return Checked(name, tools.start(name, wanted, places.engine, bool(names)))
    base = None if deep else _base_of(image, places)
    with contents_of(places.store, image) as contents:
        imports = [] if names else _imports(contents.loader.files, base)
        started = tools.start(name, wanted, places.engine, bool(names), imports)
        silent = {item.name for item in imports}
        started = tuple(finding for finding in started if not (finding.ok and finding.tool in silent))
        looked = inspect(contents, base)
        return _put_together(name, started, looked, contents.loader, settings)


def check_elsewhere(settings: Settings, stock: Stock, reference: str) -> Checked:
    """Look at all files of an image in a registry, without an engine, so without starting a tool.

    Its layers are fetched. Raises what reading a registry raises, NothingMends, StoreFailed.
    """
    image = intake.from_registry(stock, parse(reference))
    with contents_of(stock.store, image) as contents:
        looked = inspect(contents)
        return _put_together(reference, (), looked, contents.loader, settings)


def check_tree(settings: Settings, places: Places, folder: Path) -> Checked:
    """Look at the files of the image that packing a tree would make; raises what `pack.gather` raises."""
    found = pack.gather(settings, places, folder)
    material = found.material
    files = goal.lay(found.below, found.index).files
    sources = {
        entry.sha256: material.locate(path) for path, entry in found.index.items() if entry.kind is Kind.FILE
    }
    with contents_of(places.store, material.base, sources, files) as contents:
        looked = inspect(contents, found.below)
        return _put_together(str(folder), (), looked, contents.loader, settings)


def fetched(places: Places, reference: str, on_progress: OnProgress) -> None:
    """Have the engine pull what it lacks, unless it is to get that from the store; raises PullFailed."""
    if places.engine.image(reference) is None and not places.store.is_awaited(reference):
        console.say(f"pulling {reference}")
        places.engine.pull(reference, on_progress)


def _stored(settings: Settings, places: Places, there: EngineImage, deep: bool) -> oci.Image | None:
    """An image of the engine, in the store; None for one that is not worth bringing there."""
    if not loader.knows(there.architecture):
        console.warn(f"no file is looked at, as no loader of architecture {there.architecture} is known")
        return None
    kept = places.store.image_of(there.id)
    if kept is not None and all(places.store.can_have(item.blob) for item in kept.layers):
        return kept if deep or oci.foundation(kept) else None
    if not deep and BASE_ID not in there.labels:
        return None
    return intake.from_engine(places.engine, places.store, there, settings.layer_compression)


def _base_of(image: oci.Image, places: Places) -> Index:
    """The files below the layers that were appended to an image."""
    layers = image.layers[: oci.foundation(image)]
    return tree.flatten(places.store.layer_files(item) for item in layers)


def _imports(files: Index, base: Index | None) -> list[Tool]:
    """What Python is to import: those of Ceph's modules that are new."""
    new = (path for path, entry in files.items() if base is None or base.get(path) != entry)
    names = {path.rpartition("/")[2] for path in new}
    return [
        Tool(f"import {module}", ("python3", "-c", f"import {module}"))
        for module in BINDINGS
        if any(is_binding(name, module) for name in names)
    ]


def _put_together(
    name: str, started: Sequence[Finding], looked: Inspection, found: Loader, settings: Settings
) -> Checked:
    """All findings of an image: tools first, each with what its file lacks, then other files."""
    files = list(looked.findings)
    merged = [_with_file(finding, files, found) for finding in started]
    findings = _with_better([*merged, *files], found, settings)
    return Checked(name, tuple(findings), looked.objects, looked.scripts)


def _with_file(tool: Finding, files: list[Finding], found: Loader) -> Finding:
    """A tool that fails, with what its own file lacks, which is then taken from the files."""
    entry = found.entry(tool.path) if tool.path and not tool.ok else None
    path = f"/{entry.path}" if entry else ""
    file = next((each for each in files if each.path == path and each.problem is tool.problem), None)
    if file is None:
        return tool
    files.remove(file)
    return replace(tool, detail=file.detail, fault=file.fault, symbols=file.symbols, picked=file.picked)


def _with_better(findings: Iterable[Finding], found: Loader, settings: Settings) -> Iterator[Finding]:
    """The findings, each with the file of the build that would mend it."""
    build = settings.source_dir / "build"
    options = None
    for finding in findings:
        if finding.ok or finding.fault is None:
            yield finding
            continue
        options = candidates([build / "install", build / "lib"]) if options is None else options
        placements = plan_repair([finding], found, options).placements
        yield replace(finding, better=str(placements[0].candidate.path)) if placements else finding
