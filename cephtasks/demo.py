"""Demo: run the whole chain on the example tree, telling each step."""

import shutil
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from cephtasks import console, intake, pack, registry, settings
from cephtasks.engine import Engine
from cephtasks.errors import DemoFailed
from cephtasks.reference import parse
from cephtasks.source.git import Git
from cephtasks.store import Store

BASE = "cephtasks/miniceph-base:latest"
_IMAGE = "cephtasks/demo:latest"
_ALIAS = "cephtasks/demo-base:latest"
_REPOSITORY = "ceph/demo"
_PORT = 5000
_IDENTITY = ("-c", "user.name=cephtasks", "-c", "user.email=cephtasks@localhost")


@dataclass(frozen=True)
class Step:
    """Some tasks as they are typed, what they show, and the exit code that is expected of them."""

    tells: str
    tasks: str
    ends: int = 0


_CHAIN = (
    Step("The base image is fetched from the registry.", "fetch-base"),
    Step("The source is cloned, compiled in the builder, and packed onto the base.", "build"),
    Step("Every tool is started. One needs a library that the install step forgot.", "check", ends=1),
    Step("That library is found in the build tree, and added.", "fix"),
    Step("The image goes to the registry, which is then listed.", "tag push catalog"),
)
_AGAIN = Step("One file was edited. The daily line sends only what changed.", "build fix push")


def show(folder: Path, state_dir: Path, engine: Engine, keep: bool) -> None:
    """Run every step as a command of its own; all that it made goes afterwards, unless `keep`.

    `folder` holds `tasks.py` and `examples/`. Raises ImageNotFound, DemoFailed.
    """
    engine.require_image(BASE, "script/bootstrap")
    started = time.monotonic()
    state_dir.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="demo-", dir=state_dir)).resolve()
    demo = _Demo(folder, scratch, f"localhost:{_free_port()}")
    try:
        demo.lay_out()
        demo.run(Step("A registry is started on this machine.", "registry.up"))
        demo.publish_base(engine)
        for step in _CHAIN:
            demo.run(step)
        demo.edit()
        demo.run(_AGAIN)
        console.say(f"\nThat was the whole chain, in {time.monotonic() - started:.0f} s.")
    finally:
        if keep:
            console.say(f"To go on with the demo: export {settings.ENV_FILE_KEY}={demo.env_file}")
        else:
            demo.clean_up(engine)
    console.say("For a tree of your own: cp .env.example .env, edit it, and type invoke build fix push")


@dataclass(frozen=True)
class _Demo:
    """One run of the demo: where it works, and the registry that it starts."""

    folder: Path
    scratch: Path
    host: str

    @property
    def env_file(self) -> Path:
        return self.scratch / ".env"

    @property
    def base(self) -> str:
        return f"{self.host}/ceph/demo-base:latest"

    def lay_out(self) -> None:
        """An upstream repository of the example, and the settings of the demo."""
        upstream = self.scratch / "upstream"
        ignored = shutil.ignore_patterns("build")
        shutil.copytree(self.folder / "examples" / "miniceph", upstream, ignore=ignored)
        git = Git(upstream)
        git.read("init", "--quiet", "--initial-branch=master")
        git.read("add", "--all")
        git.read(*_IDENTITY, "commit", "--quiet", "--message=miniceph")
        values = {
            "GIT_URL": upstream,
            "SOURCE_DIR": self.scratch / "ceph",
            "BASE_IMAGE": self.base,
            "BASE_ALIAS": _ALIAS,
            "IMAGE_NAME": _IMAGE,
            "REGISTRY": self.host,
            "REPOSITORY": _REPOSITORY,
            "STATE_DIR": self.scratch / "state",
        }
        self.env_file.write_text("".join(f"{name}='{value}'\n" for name, value in values.items()))

    def publish_base(self, engine: Engine) -> None:
        """Put the base image where a lab has it: in the registry."""
        console.say(f"\n# The base image is put there, as {self.base}.")
        store = Store(self.scratch / "published")
        image = intake.from_engine(engine, store, engine.require_image(BASE, "script/bootstrap"), "gzip")
        with registry.Client(self.host) as client:
            registry.push(client, parse(self.base), image, store.open)

    def edit(self) -> None:
        """Change one line of one source file, as its author would."""
        edited = self.scratch / "ceph" / "src" / "ceph_mds.cc"
        edited.write_text(edited.read_text().replace("FOLDER]", "FOLDER]  (edited)", 1))

    def run(self, step: Step) -> None:
        """Run the tasks as they would be typed; raises DemoFailed for another exit code than expected."""
        console.say(f"\n# {step.tells}\n$ invoke {step.tasks}")
        command = [sys.executable, "-m", "invoke", f"--search-root={self.folder}", *step.tasks.split()]
        ended = subprocess.run(
            command, env=settings.environment_for(self.env_file), stdin=subprocess.DEVNULL, check=False
        )
        if ended.returncode != step.ends:
            fact = f"invoke {step.tasks} ended with exit code {ended.returncode}, not {step.ends}"
            raise DemoFailed(fact, "script/bootstrap, then invoke demo --keep to look at what is there")

    def clean_up(self, engine: Engine) -> None:
        """Take away what the demo made, however far it came."""
        if self.env_file.exists():
            self.run(Step("All of the demo goes again.", "registry.down"))
        target = f"{self.host}/{_REPOSITORY}:master"
        for name in (_IMAGE, _ALIAS, self.base, target):
            if engine.image(name) is not None:
                engine.untag(name)
        for image in engine.unnamed(pack.BASE_NAME, self.base):
            engine.untag(image)
        shutil.rmtree(self.scratch)


def _free_port() -> int:
    """The port where registries listen by default, or where that is taken any other."""
    for port in (_PORT, 0):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise DemoFailed("no port is free on 127.0.0.1", "ss --tcp --listening")
