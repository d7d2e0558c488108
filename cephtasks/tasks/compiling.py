"""Compiling: the tasks that run the builder on the source tree."""

from typing import TYPE_CHECKING

from cephtasks import console
from cephtasks.errors import CephtasksError, Interrupted
from cephtasks.tasks import builder_report
from cephtasks.tasks.session import Session
from cephtasks.tasks.typed import typed

if TYPE_CHECKING:
    from cephtasks.source import Source

COMPILE = (
    "GIT_URL",
    "SHA1_OR_REF",
    "CLONE_FILTER",
    "CLONE_DEPTH",
    "CLONE_REFERENCE",
    "SOURCE_DIR",
    "BUILDER_IMAGE",
    "BUILD_COMMAND",
    "RECONFIGURE",
    "CLEAN",
    "CONFIGURE_FLAGS",
    "BUILD_THREADS",
    "MEMORY_PER_JOB",
    "COMPILER_LAUNCHER",
    "BUILD_HOSTS",
    "CCACHE_DIR",
    "CCACHE_SIZE",
    "BUILD_NETWORK",
    "INSTALL_HEADERS",
)
ENV_HELP = "KEY=VALUE for the builder; may be given again and again"
TRUST_HELP = "give the builder the engine's socket, and with that this host"


@typed(
    *COMPILE,
    repeatable=["env"],
    env=ENV_HELP,
    trust_builder=TRUST_HELP,
    watch="go on, and compile again whenever a file of the source is saved",
)
def compile(  # noqa: A001 — its name on the command line
    run: Session, env: list[str], trust_builder: bool = False, watch: bool = False
) -> None:
    """Compile and install the source tree in the builder image."""
    if watch:
        _run_at_each_save(run, env, trust_builder)
    else:
        run_builder(run, env, trust_builder)


@typed(*COMPILE, repeatable=["env"], env=ENV_HELP, trust_builder=TRUST_HELP)
def shell(run: Session, env: list[str], trust_builder: bool = False) -> None:
    """Open a prompt in the builder, in all else as `compile` runs it."""
    from cephtasks import builder

    console.require_terminal()
    builder.prompt(_ready(run, env, trust_builder), run.settings, run.engine, env, trusted=trust_builder)


def run_builder(run: Session, env: list[str], trust: bool) -> None:
    """Bring the source, and compile it."""
    with run.stage("compile") as edited:
        tree = _ready(run, env, trust)
        edited(tree.edited)
        _compile(run, tree, env, trust)


def _run_at_each_save(run: Session, env: list[str], trust: bool) -> None:
    from cephtasks.source import last_saved, watching

    tree, own = _ready(run, env, trust), (run.settings.state_dir, run.settings.source_dir / "build")
    for saved in watching.rounds(tree.folder, own):
        builder_report.saved(saved)
        try:
            with run.stage("compile") as edited:
                edited(last_saved(tree.folder / file for file in saved) or tree.edited)
                _compile(run, tree, env, trust)
        except Interrupted:
            raise
        except CephtasksError as error:
            console.say(str(error))
        console.say(f"waiting until a file in {tree.folder} is saved; Ctrl-C ends this")


def _ready(run: Session, env: list[str], trust: bool) -> "Source":
    """The source, once nothing is found wrong that would fail afterwards."""
    from cephtasks import builder, source
    from cephtasks.source.clone import CloneOptions

    if trust:
        builder_report.trusted(run.settings)
    builder.preflight(run.settings, run.engine, env)
    chosen = run.settings
    how = CloneOptions(chosen.clone_filter, chosen.clone_depth, chosen.clone_reference)
    return source.prepare(chosen.source_dir, chosen.git_url, chosen.sha1_or_ref, console.stream, run.dry, how)


def _compile(run: Session, tree: "Source", env: list[str], trust: bool) -> None:
    from cephtasks import builder

    builder_report.compiled(builder.compile(tree, run.settings, run.engine, env, trusted=trust))
