"""Repair: put into an image what it lacks and the build has, in one layer."""

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cephtasks import checks, console, intake, layering, oci, pack
from cephtasks.contents import contents_of
from cephtasks.delivery import bring, deliver
from cephtasks.errors import CheckFailed, NothingMends
from cephtasks.findings import Finding
from cephtasks.intake import Places
from cephtasks.libraries import candidates
from cephtasks.mending import Placement, Repair, plan_repair
from cephtasks.repairs import Repairs
from cephtasks.settings import Settings
from cephtasks.tree import Entry, Kind

_ROUNDS = 8  # a loader tells one trouble at a time, and Ceph's tools load about five of Ceph's libraries


@dataclass(frozen=True)
class Fixed:
    """An image after its repair: its name, what went into it, and how its tools are."""

    name: str
    repair: Repair
    findings: tuple[Finding, ...]


def fix(settings: Settings, places: Places) -> Fixed:
    """Check IMAGE_NAME, and add those libraries of the build that it lacks, until all is well.

    An image that is well is not touched. Where only some can be mended, the image keeps the
    repair; where none can, it stays as it was. Raises ToolInvalid, ToolsMissing, ImageNotFound,
    LibraryNotFound, NothingMends, CheckFailed, TreeChanged, StoreFailed, EngineRefused.
    """
    name, engine = settings.image_name, places.engine
    findings = checks.check(settings, places, name).findings
    if all(finding.ok for finding in findings):
        console.say(f"nothing is wrong with {name}")
        return Fixed(name, Repair(), findings)
    for finding in _faulty(findings):
        console.say(f"{finding.tool}: {finding.problem}: {finding.told}")
    bench = _Bench(settings, places, _image_to_mend(settings, places))
    try:
        fixed = bench.mend(findings)
    except BaseException:  # Ctrl-C too: what was tried must not keep the name
        bench.put_back()
        raise
    if engine.dry:
        return fixed
    if not _is_better(findings, fixed.findings):
        bench.put_back()
        raise _nothing_mends(name, fixed.repair, findings)
    _require_ok(fixed)
    return fixed


def _image_to_mend(settings: Settings, places: Places) -> oci.Image:
    """The image that the engine has under the name, brought into the store where that has another or none."""
    name = settings.image_name
    there = bring(places.store, places.engine, name, "invoke build")
    kept = places.store.image(name)
    if kept is not None and kept.id == there.id:
        return kept
    return intake.from_engine(places.engine, places.store, there, settings.layer_compression)


@dataclass(frozen=True)
class _Bench:
    """Where an image is mended: each trial is the image with one layer more, under the image's name."""

    settings: Settings
    places: Places
    image: oci.Image

    def mend(self, findings: tuple[Finding, ...]) -> Fixed:
        """Plan, add and check in turn, until all is well or nothing further helps."""
        name, repair = self.settings.image_name, Repair()
        build = self.settings.source_dir / "build"
        found = candidates([build / "install", build / "lib"])
        with contents_of(self.places.store, self.image) as contents:
            for _ in range(_ROUNDS):
                further = plan_repair(findings, contents.loader, found, self.settings.fix_libs, repair)
                news = [item for item in further.placements if item not in repair.placements]
                repair = further
                for placement in news:
                    console.say(_line(placement))
                if not news or self.places.engine.dry:
                    break
                self._try(repair)
                findings = checks.check(self.settings, self.places, name).findings
                if all(finding.ok for finding in findings):
                    break
        for line in repair.unmended:
            console.say(f"not mended: {line}")
        return Fixed(name, repair, findings)

    def put_back(self) -> None:
        """Give the name back to the image that it was taken from."""
        if not self.places.engine.dry:
            deliver(self.places.store, self.places.engine, self.image, self.settings.image_name)

    def _try(self, repair: Repair) -> None:
        sources = {item.path: item.candidate.path for item in repair.placements}
        links = {item.link: posixpath.basename(item.path) for item in repair.placements if item.link}
        files = {path: layering.entry_of(path, source) for path, source in sources.items()}
        index = {**files, **{path: Entry(path, Kind.SYMLINK, 0o777, target=to) for path, to in links.items()}}
        noted = _noted(sources, links, self.settings.source_dir)
        compression = self.settings.layer_compression
        tried = pack.append(self.places, self.image, index, sources, noted, compression)
        deliver(self.places.store, self.places.engine, tried, self.settings.image_name)


def _noted(sources: Mapping[str, Path], links: Mapping[str, str], source_dir: Path) -> Repairs:
    """What the next pack is to keep: what comes from the source tree, wherever that is by then."""
    top = source_dir.resolve()
    files = {path: source.resolve() for path, source in sources.items()}
    inside = {path: str(file.relative_to(top)) for path, file in files.items() if file.is_relative_to(top)}
    return Repairs(inside, links)


def _is_better(before: Sequence[Finding], after: Sequence[Finding]) -> bool:
    """Whether some tool was mended, and none was broken."""
    were = {finding.tool for finding in _faulty(before)}
    return {finding.tool for finding in _faulty(after)} < were


def _nothing_mends(name: str, repair: Repair, findings: Sequence[Finding]) -> NothingMends:
    tools = ", ".join(finding.tool for finding in _faulty(findings))
    hint = "invoke check, and FIX_LIBS='libNAME*' invoke fix where you know the library"
    tried = ", with all that was tried," if repair.placements else ""
    return NothingMends(f"nothing in the build{tried} mends {tools} of {name}, which stays as it was", hint)


def _require_ok(fixed: Fixed) -> None:
    left = [f"{finding.tool} ({finding.problem})" for finding in _faulty(fixed.findings)]
    if left:
        raise CheckFailed(f"{fixed.name} is mended in part, not well are {', '.join(left)}", "invoke check")


def _faulty(findings: Sequence[Finding]) -> list[Finding]:
    return [finding for finding in findings if not finding.ok]


def _line(placement: Placement) -> str:
    source = placement.candidate.path
    shown = source.relative_to(Path.cwd()) if source.is_relative_to(Path.cwd()) else source
    link = f" and its link /{placement.link}" if placement.link else ""
    return f"{shown} goes to /{placement.path}{link}: {placement.why}"
