"""Image: the tasks from a base image and a source tree to an image in a registry."""

from pathlib import Path

from cephtasks import console, reference
from cephtasks.tasks import report
from cephtasks.tasks.session import Session
from cephtasks.tasks.typed import typed

_COMPILE = (
    "GIT_URL",
    "SHA1_OR_REF",
    "SOURCE_DIR",
    "BUILDER_IMAGE",
    "BUILD_COMMAND",
    "RECONFIGURE",
    "CLEAN",
    "CONFIGURE_FLAGS",
    "BUILD_THREADS",
    "INSTALL_HEADERS",
)
_PACK = ("BASE_IMAGE", "IMAGE_NAME", "LAYER_COMPRESSION")
_ENV_HELP = "KEY=VALUE for the builder; may be given again and again"
_REFERENCE_HELP = "the image (default: IMAGE_NAME)"
_TO_HELP = "where to, as registry/repository:tag (default: REGISTRY/REPOSITORY:TAG)"
_JSON_HELP = "print one JSON document on stdout"


@typed("BASE_IMAGE", "BASE_ALIAS")
def fetch_base(run: Session) -> None:
    """Pull BASE_IMAGE, and give it the name BASE_ALIAS."""
    from cephtasks import base

    with console.bars() as bars:
        fetched = base.fetch(run.settings, run.engine, bars.update)
    console.result(fetched.alias)


@typed(*_COMPILE, *_PACK, repeatable=["env"], env=_ENV_HELP)
def build(run: Session, env: list[str]) -> None:
    """Compile the source, and pack what it installs: `compile` and `pack`."""
    _compile(run, env)
    _pack(run, None)


@typed(*_COMPILE, repeatable=["env"], env=_ENV_HELP)
def compile(run: Session, env: list[str]) -> None:  # noqa: A001 — its name on the command line
    """Compile and install the source tree in the builder image."""
    _compile(run, env)


@typed("SOURCE_DIR", "SHA1_OR_REF", *_PACK, tree="the install tree (default: SOURCE_DIR/build/install)")
def pack(run: Session, tree: str = "") -> None:
    """Put the install tree onto BASE_IMAGE, as the image IMAGE_NAME."""
    _pack(run, Path(tree) if tree else None)


@typed(
    "IMAGE_NAME",
    "CHECK_TOOLS",
    positional="reference",
    repeatable=["tool"],
    checks={"reference": reference.parse},
    reference=_REFERENCE_HELP,
    tool="a tool to start instead of CHECK_TOOLS, which must exist; may be given again and again",
    json=_JSON_HELP,
)
def check(run: Session, tool: list[str], reference: str = "", json: bool = False) -> None:
    """Start every tool of the image, and tell which do not start and why."""
    from cephtasks import checks

    findings = checks.check(
        reference or run.settings.image_name, tool or run.settings.check_tools, run.engine, bool(tool)
    )
    report.findings(findings, json)
    checks.require_ok(findings)


@typed("SOURCE_DIR", "IMAGE_NAME", "CHECK_TOOLS", "FIX_LIBS", "LAYER_COMPRESSION")
def fix(run: Session) -> None:
    """Add the libraries that the image's tools lack, in one layer; nothing where nothing is wrong."""
    from cephtasks import repair

    console.result(repair.fix(run.settings, run.engine, run.store).name)


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
    from cephtasks import pack

    target = to or run.settings.target
    pack.tag(run.store, run.engine, reference or run.settings.image_name, target)
    console.result(target)


@typed(
    "IMAGE_NAME",
    "REGISTRY",
    "REPOSITORY",
    "TAG",
    "REGISTRY_CA",
    "REGISTRY_INSECURE",
    positional="reference",
    checks={"reference": reference.parse, "to": reference.parse},
    reference=_REFERENCE_HELP,
    to=_TO_HELP,
    json=_JSON_HELP,
)
def push(run: Session, reference: str = "", to: str = "", json: bool = False) -> None:
    """Send the image to the registry, only what it lacks, and print the digest."""
    from cephtasks import registry
    from cephtasks.reference import parse

    target = parse(to or run.settings.target)
    image = run.store.require_image(reference or run.settings.image_name)
    with console.bars() as bars:
        pushed = registry.push(run.registry(target.registry), target, image, run.store.open, bars.update)
    report.pushed(pushed, json)


@typed("REGISTRY", "REGISTRY_CA", "REGISTRY_INSECURE")
def catalog(run: Session) -> None:
    """List the repositories of the registry, as JSON."""
    from cephtasks import registry

    console.result_json({"repositories": list(registry.catalog(run.registry()))}, indent=4)


def _compile(run: Session, extra_env: list[str]) -> None:
    from cephtasks import builder, source

    chosen = run.settings
    builder.preflight(chosen, run.engine, extra_env)
    tree = source.prepare(chosen.source_dir, chosen.git_url, chosen.sha1_or_ref, console.stream, run.dry)
    report.compiled(builder.compile(tree, chosen, run.engine, extra_env))


def _pack(run: Session, folder: Path | None) -> None:
    from cephtasks import pack, source

    compiled_from = None if folder else source.describe(run.settings.source_dir, run.settings.sha1_or_ref)
    tree = folder or run.settings.source_dir / "build" / "install"
    packed = pack.pack(run.settings, run.engine, run.store, tree, compiled_from)
    report.packed(packed)
