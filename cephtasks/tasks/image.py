"""Image: the tasks from a base image and a source tree to an image in a registry."""

import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cephtasks import console, reference
from cephtasks.tasks import check_report, report
from cephtasks.tasks.compiling import COMPILE, ENV_HELP, TRUST_HELP, run_builder
from cephtasks.tasks.session import Session
from cephtasks.tasks.typed import typed

if TYPE_CHECKING:
    from cephtasks.checks import Checked
    from cephtasks.oci import Image
    from cephtasks.reference import Reference
    from cephtasks.registry import Pushed

_PACK = (
    "BASE_IMAGE",
    "IMAGE_NAME",
    "REGISTRY",
    "REPOSITORY",
    "TAG",
    "LAYER_COMPRESSION",
    "COMPONENTS",
    "STRIP",
    "LOAD_ON_DEMAND",
)
_TREE_HELP = "the install tree (default: SOURCE_DIR/build/install)"
_ONTO_HELP = "an image in a registry whose layers are kept (default: the last of IMAGE_NAME)"
_REFERENCE_HELP = "the image (default: IMAGE_NAME)"
_TO_HELP = "where to, as registry/repository:tag (default: REGISTRY/REPOSITORY:TAG)"


@typed(
    *("BASE_IMAGE", "BASE_ALIAS", "REGISTRY", "REGISTRY_CA", "REGISTRY_INSECURE", "LAYER_COMPRESSION"),
    mirror="copy BASE_IMAGE to REGISTRY first, and pull it from there",
)
def fetch_base(run: Session, mirror: bool = False) -> None:
    """Pull BASE_IMAGE, and give it the name BASE_ALIAS."""
    from cephtasks import base, base_mirror, intake

    with console.bars() as bars:
        copy = base_mirror.bring(run.settings, run.registry, bars.update) if mirror else ""
        fetched = base.fetch(run.settings, run.engine, bars.update, copy)
    if not run.dry:
        wanted = run.engine.require_image(fetched.name, "invoke fetch-base")
        intake.base(run.places, wanted, run.settings.registry, run.settings.layer_compression)
    console.result(fetched.alias)


@typed(
    *COMPILE,
    *_PACK,
    repeatable=["env"],
    checks={"onto": reference.parse},
    env=ENV_HELP,
    onto=_ONTO_HELP,
    trust_builder=TRUST_HELP,
)
def build(run: Session, env: list[str], onto: str = "", trust_builder: bool = False) -> None:
    """Compile the source and pack it: `compile` and `pack`."""
    run_builder(run, env, trust_builder)
    _pack(run, None, onto)


@typed(
    "STATE_DIR",
    yes="do it; without this only what would go is shown",
)
def prune(run: Session, yes: bool = False, json: bool = False) -> None:
    """Show what is left here of earlier images, and remove it with --yes."""
    from cephtasks import leftovers

    found = leftovers.find(run.store, run.engine)
    if yes:
        leftovers.remove(found, run.store, run.engine)
    report.leftovers(found, yes and not run.dry, json)


@typed(
    "SOURCE_DIR",
    "SHA1_OR_REF",
    *_PACK,
    checks={"onto": reference.parse},
    tree=_TREE_HELP,
    onto=_ONTO_HELP,
)
def pack(run: Session, tree: str = "", onto: str = "") -> None:
    """Put the install tree onto BASE_IMAGE, as IMAGE_NAME."""
    _pack(run, Path(tree) if tree else None, onto)


@typed(
    "SOURCE_DIR",
    "SHA1_OR_REF",
    *_PACK,
    tree=_TREE_HELP,
    yes="do it; without this only the cost is shown",
)
def compact(run: Session, tree: str = "", yes: bool = False) -> None:
    """Show what writing the layers anew costs, and do it with --yes."""
    from cephtasks import debug_image, pack

    folder = Path(tree) if tree else None
    files = folder or _installed(run)
    if run.settings.strip:
        files = debug_image.split(run.settings, run.places, files).tree
    report.rewrite(pack.prepare(run.settings, run.places, files, compact=True))
    if yes:
        _pack(run, folder, compact=True)


@typed(
    *("IMAGE_NAME", "CHECK_TOOLS", "SOURCE_DIR", "BASE_IMAGE", "LAYER_COMPRESSION"),
    positional="reference",
    repeatable=["tool"],
    checks={"reference": reference.parse},
    reference="the image, which is pulled where the engine lacks it (default: IMAGE_NAME)",
    tool="a tool to start instead of CHECK_TOOLS, which must exist; may be given again and again",
    deep="look at all files of the image, not only at those above the base and what these touch",
    tree="look at the files of this install tree, as they would be on the base; no tool is started",
)
def check(
    run: Session, tool: list[str], reference: str = "", deep: bool = False, tree: str = "", json: bool = False
) -> None:
    """Tell what is not well: tools that do not start, and files that lack something."""
    with run.stage("check", of_another=bool(reference or tree)):
        checked = _checked(run, reference, tool, deep, tree)
        check_report.checked(checked, json)
        checked.require_ok(_next_to_check(reference, tree))


@typed(
    *("SOURCE_DIR", "IMAGE_NAME", "CHECK_TOOLS", "FIX_LIBS", "LAYER_COMPRESSION"),
    repeatable=["libs"],
    libs="a file name glob of libraries to add, in place of FIX_LIBS; may be given again and again",
)
def fix(run: Session, libs: list[str]) -> None:
    """Add what the image lacks and the build has, in one layer."""
    from cephtasks import repair

    chosen = replace(run.settings, fix_libs=tuple(libs)) if libs else run.settings
    with run.stage("fix"):
        console.result(repair.fix(chosen, run.places).name)


@typed(
    "IMAGE_NAME",
    "REGISTRY",
    "REPOSITORY",
    "TAG",
    positional="reference",
    checks={"reference": reference.parse, "to": reference.parse},
    reference=_REFERENCE_HELP,
    to=_TO_HELP,
)
def tag(run: Session, reference: str = "", to: str = "") -> None:
    """Give the image the name that it has in the registry."""
    from cephtasks import delivery

    target = to or run.settings.target
    delivery.tag(run.store, run.engine, reference or run.settings.image_name, target)
    console.result(target)


@typed(
    "IMAGE_NAME",
    "REGISTRY",
    "REPOSITORY",
    "TAG",
    "STRIP",
    "REGISTRY_CA",
    "REGISTRY_INSECURE",
    "CHUNK_SIZE",
    positional="reference",
    checks={"reference": reference.parse, "to": reference.parse},
    reference=_REFERENCE_HELP,
    to=_TO_HELP,
    verify="read all of it back from the registry, and compare",
)
def push(run: Session, reference: str = "", to: str = "", verify: bool = False, json: bool = False) -> None:
    """Send to the registry what it lacks of the image."""
    from cephtasks.reference import parse
    from cephtasks.stripping import debug_name, debug_tag

    name, target = reference or run.settings.image_name, parse(to or run.settings.target)
    with run.stage("push", of_another=bool(reference)):
        debug = run.store.image(debug_name(name)) if run.settings.strip else None
        if debug is not None:
            debug_target = replace(target, tag=debug_tag(target.tag or ""), digest=None)
            report.sent(_push(run, debug, debug_target, verify))
        report.pushed(_push(run, run.store.require_image(name), target, verify), json)


def _next_to_check(reference: str, tree: str) -> str:
    """What to type where something is not well, other than `invoke fix`, which mends IMAGE_NAME."""
    if tree:
        return f"invoke pack --tree {shlex.quote(tree)} fix"
    return f"invoke check {reference} --json" if reference else ""


def _checked(run: Session, reference: str, names: list[str], deep: bool, tree: str) -> "Checked":
    from cephtasks import checks
    from cephtasks.errors import EngineUnreachable

    if tree:
        return checks.check_tree(run.settings, run.places, Path(tree))
    if reference:
        try:
            places = run.places
        except EngineUnreachable as error:
            console.warn(f"{error.fact}; no tool is started")
            return checks.check_elsewhere(run.settings, run.stock, reference)
        with console.bars() as bars:
            checks.fetched(places, reference, bars.update)
    return checks.check(run.settings, run.places, reference or run.settings.image_name, names, deep)


def _pack(run: Session, folder: Path | None, onto: str = "", compact: bool = False) -> None:
    from cephtasks import source

    chosen, tree = run.settings, folder or _installed(run)
    if chosen.strip:
        from cephtasks.debug_image import begin_apart as begin
    else:
        from cephtasks.pack import begin
    with run.stage("pack"):
        compiled_from = None if folder else source.describe(chosen.source_dir, chosen.sha1_or_ref)
        packed = begin(chosen, run.places, tree, compiled_from, onto, compact)
        run.leave(packed.arrive)
        report.packed(packed, chosen.load_on_demand)


def _push(run: Session, image: "Image", target: "Reference", verify: bool) -> "Pushed":
    from cephtasks import registry

    client, mount_from = run.registry(target.registry), run.store.repositories_at(target.registry)
    with console.bars() as bars:
        pushed = registry.push(
            client,
            target,
            image,
            run.store.open,
            bars.update,
            mount_from=mount_from,
            chunk_size=run.settings.chunk_size or 0,
            reread=verify,
        )
    if not run.dry:
        run.store.put_origin((item.blob for item in image.layers), target.name)
    return pushed


def _installed(run: Session) -> Path:
    """Where the builder installs."""
    return run.settings.source_dir / "build" / "install"
