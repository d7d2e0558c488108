"""Repair: put the libraries into an image that its tools lack, in one layer."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cephtasks import checks, console, oci, pack
from cephtasks.engine import Engine
from cephtasks.errors import CheckFailed, NothingMends, TreeChanged
from cephtasks.findings import Finding
from cephtasks.libraries import candidates, loader_of
from cephtasks.mending import Placement, Repair, plan_repair
from cephtasks.settings import Settings
from cephtasks.store import Store
from cephtasks.tree import Entry, Kind

_ROUNDS = 8  # a loader tells one trouble at a time, and Ceph's tools load about five of Ceph's libraries
_UNKNOWN_TIME = "1980-01-01T00:00:00Z"


@dataclass(frozen=True)
class Fixed:
    """An image after its repair: its name, what went into it, and how its tools are."""

    name: str
    repair: Repair
    findings: tuple[Finding, ...]


def fix(settings: Settings, engine: Engine, store: Store) -> Fixed:
    """Check IMAGE_NAME, and add those libraries of the build that its tools lack, until all start.

    An image whose tools are well is not touched. Where only some can be mended, the image keeps the
    repair; where none can, it stays as it was. Raises ToolInvalid, ToolsMissing, ImageNotFound,
    LibraryNotFound, NothingMends, CheckFailed, TreeChanged, StoreFailed, EngineRefused.
    """
    name = settings.image_name
    findings = checks.check(name, settings.check_tools, engine)
    if all(finding.ok for finding in findings):
        console.say(f"nothing is wrong with {name}")
        return Fixed(name, Repair(), findings)
    for finding in _faulty(findings):
        console.say(f"{finding.tool}: {finding.problem}: {finding.detail}")
    bench = _Bench(settings, engine, store, _image_to_mend(settings, engine, store))
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


def _image_to_mend(settings: Settings, engine: Engine, store: Store) -> oci.Image:
    """The image that the engine has under the name, brought into the store where that has another or none."""
    name = settings.image_name
    there = engine.require_image(name, "invoke build")
    kept = store.image(name)
    if kept is not None and kept.id == there.id:
        return kept
    return pack.keep(engine, store, there, settings.layer_compression)


@dataclass(frozen=True)
class _Bench:
    """Where an image is mended: each trial is the image with one layer more, under the image's name."""

    settings: Settings
    engine: Engine
    store: Store
    image: oci.Image

    def mend(self, findings: tuple[Finding, ...]) -> Fixed:
        """Plan, add and check in turn, until all is well or nothing further helps."""
        name, repair = self.settings.image_name, Repair()
        build = self.settings.source_dir / "build"
        found = candidates([build / "install", build / "lib"])
        with loader_of(self.store, self.image) as loader:
            for _ in range(_ROUNDS):
                further = plan_repair(findings, loader, found, self.settings.fix_libs, repair)
                news = [item for item in further.placements if item not in repair.placements]
                repair = further
                for placement in news:
                    console.say(_line(placement))
                if not news or self.engine.dry:
                    break
                self._try(repair)
                findings = checks.check(name, self.settings.check_tools, self.engine)
                if all(finding.ok for finding in findings):
                    break
        for line in repair.unmended:
            console.say(f"not mended: {line}")
        return Fixed(name, repair, findings)

    def put_back(self) -> None:
        """Give the name back to the image that it was taken from."""
        if not self.engine.dry:
            pack.deliver(self.store, self.engine, self.image, self.settings.image_name)

    def _try(self, repair: Repair) -> None:
        addition = _addition(repair, self.image)
        tried = pack.append(self.store, self.image, addition, self.settings.layer_compression)
        pack.deliver(self.store, self.engine, tried, self.settings.image_name)


def _addition(repair: Repair, image: oci.Image) -> pack.Addition:
    """The files and links of a repair, made at the time of the image: the same repair is the same layer."""
    files = {item.path: item.candidate.path for item in repair.placements}
    links = [
        Entry(item.link, Kind.SYMLINK, 0o777, target=item.path.rpartition("/")[2])
        for item in repair.placements
        if item.link
    ]
    entries = [*(_entry(path, source) for path, source in files.items()), *links]
    return pack.Addition(
        index={entry.path: entry for entry in entries},
        sources=files,
        comment="libraries of the build: " + " ".join(item.candidate.soname for item in repair.placements),
        created=image.config_document.get("created", _UNKNOWN_TIME),
    )


def _entry(path: str, source: Path) -> Entry:
    try:
        with source.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
            return Entry(path, Kind.FILE, 0o755, stream.tell(), sha256)
    except OSError as error:
        fact = f"{source} cannot be read any more: {error.strerror}"
        raise TreeChanged(fact, "type the same again") from error


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
