"""Checks, as a person types them: of an image here, one in a registry, and a tree before it is packed."""

import json
import re
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cephtasks.engine import Engine
from lab import registries
from lab.programs import BUSYBOX, compiled, image_of, library, runtime
from lab.rootfs import TRIPLET
from lab.terminal import Terminal

HOME = f"usr/lib/{TRIPLET}"
OLD = "int striper_old(void) {return 1;}"
NEW = f"{OLD} int striper_new(void) {{return 1;}}"
MAIN = "int striper_new(void); int main(int count, char **words) {return count > 9 ? striper_new() : 0;}"


@dataclass(frozen=True)
class Lab:
    """A terminal with a packed image: rados needs what an old library lacks, and the build has."""

    terminal: Terminal
    name: str

    @property
    def tree(self) -> Path:
        return self.terminal.folder / "ceph/build/install"

    def check(self, *words: str, **environment: str) -> tuple[int, list[dict[str, Any]], str]:
        """The exit code of `check --json`, what it found, and the rest of what it said."""
        done = self.terminal.invoke("check", *words, "--json", **environment)
        return done.returncode, json.loads(done.stdout), done.stderr


@pytest.fixture
def lab(tmp_path: Path, engine: Engine, image_name: str) -> Lab:
    """The image, packed on a base with a C library."""
    probe = compiled(tmp_path / "probe", "int main(void) {return 0;}")
    base = f"{image_name}:base"
    files: dict[str, bytes | str | Path] = {**runtime(probe), "bin/busybox": Path("/bin/busybox")}
    files[f"{HOME}/.keep"] = b""
    image_of(engine, base, files, BUSYBOX, ["ENV PATH=/usr/bin:/bin"])
    terminal = Terminal(tmp_path)
    terminal.set(
        SOURCE_DIR=tmp_path / "ceph",
        STATE_DIR=tmp_path / "state",
        BASE_IMAGE=base,
        IMAGE_NAME=f"{image_name}:packed",
        CHECK_TOOLS="rados fine",
        REGISTRY="localhost:1",
    )
    made = Lab(terminal, f"{image_name}:packed")
    new = library(tmp_path / "ceph/build/lib/libst.so.1.1", "libst.so.1", NEW)
    library(made.tree / HOME / "libst.so.1", "libst.so.1", OLD)
    compiled(made.tree / "usr/bin/rados", MAIN, new)
    compiled(made.tree / "usr/bin/fine", "int main(void) {return 0;}")
    done = terminal.invoke("pack")
    assert done.returncode == 0, done.stderr
    return made


def test_a_tool_and_a_file_that_lack_the_same_are_one_finding(lab: Lab) -> None:
    """It names the file, the symbol, the library, the copy that is loaded, and what the build has."""
    code, found, said = lab.check()
    assert code == 1
    assert [(finding["tool"], finding["ok"]) for finding in found] == [("rados", False), ("fine", True)]
    assert set(found[1]) == {"tool", "ok", "exit_code", "problem", "detail"}
    assert found[0] | {"detail": ""} == {
        "tool": "rados",
        "ok": False,
        "exit_code": 127,
        "problem": "undefined symbol",
        "detail": "",
        "object": "/usr/bin/rados",
        "symbols": ["striper_new"],
        "library": "libst.so.1",
        "picked": f"/{HOME}/libst.so.1",
        "better": str(lab.terminal.folder / "ceph/build/lib/libst.so.1.1"),
    }
    assert said.endswith("error: not well: rados (undefined symbol)\nhint: invoke fix\n")


def test_fix_makes_it_well(lab: Lab) -> None:
    """Then it has nothing more to do, and check agrees; with --dry the plan is all."""
    dry = lab.terminal.invoke("--dry fix")
    assert f"goes to /{HOME}/libst.so.1: rados needs its striper_new" in dry.stderr
    assert lab.check()[0] == 1
    assert lab.terminal.invoke("fix").stdout == f"{lab.name}\n"
    assert lab.check()[0] == 0
    again = lab.terminal.invoke("fix")
    assert again.stderr == f"nothing is wrong with {lab.name}\n"


def test_what_is_named_is_added(lab: Lab) -> None:
    """`--libs` stands for FIX_LIBS; a glob that names nothing is told, and the image stays."""
    wrong = lab.terminal.invoke("fix --libs libno*")
    assert wrong.returncode == 1
    assert "no library of the build is named libno*" in wrong.stderr
    done = lab.terminal.invoke("fix --libs libst.so.1.?")
    assert f"goes to /{HOME}/libst.so.1: FIX_LIBS names libst.so.1.?" in done.stderr
    assert done.returncode == 0


def test_files_that_lack_the_same_are_one_row(lab: Lab) -> None:
    """Of tools each has a row, as has what is wrong with further files."""
    for name in ("one", "two"):
        compiled(lab.tree / "usr/bin" / name, MAIN, lab.terminal.folder / "ceph/build/lib/libst.so.1.1")
    assert lab.terminal.invoke("pack").returncode == 0
    done = lab.terminal.invoke("check")
    rows = [line.split("  ")[0] for line in done.stdout.splitlines()]
    assert rows == ["tool", "rados", "fine", "/usr/bin/one and 1 more"]
    assert (
        "error: not well: rados (undefined symbol), /usr/bin/one (undefined symbol), /usr/bin/two"
        in done.stderr
    )


def test_one_tool_is_started_and_no_file_is_looked_at(lab: Lab) -> None:
    """Unless that is asked for."""
    assert [finding["tool"] for finding in lab.check("--tool", "fine")[1]] == ["fine"]
    code, found, _ = lab.check("--tool", "fine", "--deep")
    assert (code, [finding["tool"] for finding in found]) == (1, ["fine", "/usr/bin/rados"])


def test_a_tree_before_it_is_packed(lab: Lab, engine: Engine) -> None:
    """Its files as they would be on the base; no tool is started, and the image stays as it is."""
    before = engine.require_image(lab.name, "").id
    compiled(lab.tree / "usr/bin/new", "int main(void) {return 0;}")
    code, found, said = lab.check("--tree", str(lab.tree))
    assert (code, [(finding["tool"], finding["exit_code"]) for finding in found]) == (
        1,
        [("/usr/bin/rados", None)],
    )
    assert said.endswith(f"hint: invoke pack --tree {lab.tree} fix\n")
    (lab.tree / "usr/bin/rados").unlink()
    assert lab.check("--tree", str(lab.tree))[:2] == (0, [])
    assert engine.require_image(lab.name, "").id == before


def test_an_image_that_is_not_ours_has_its_tools_started(lab: Lab, engine: Engine, image_name: str) -> None:
    """Nothing is known of a base below it; --deep looks at all its files."""
    done = lab.terminal.invoke("check", f"{image_name}:base", "--tool", "cat /bin/busybox")
    assert (done.returncode, "looked at" in done.stderr) == (0, False)
    deep = lab.terminal.invoke("check", f"{image_name}:base", "--tool", "cat /bin/busybox", "--deep")
    assert deep.returncode == 0
    assert re.search(r"looked at [3-9] programs and libraries and 0 scripts", deep.stderr)


@pytest.fixture
def pushed(lab: Lab, tmp_path: Path) -> Iterator[str]:
    """The image in a registry."""
    with registries.registry(tmp_path / "registry") as started:
        reference = f"{started.host}/ceph/{uuid.uuid4().hex[:12]}:1"
        assert lab.terminal.invoke("push --to", reference).returncode == 0
        yield reference
        subprocess.run(["docker", "image", "rm", reference], capture_output=True, check=False)


def test_an_image_of_a_registry_is_pulled(lab: Lab, engine: Engine, pushed: str) -> None:
    """The engine lacks the name; then the image is checked as any other."""
    assert engine.image(pushed) is None
    code, found, said = lab.check(pushed)
    assert (code, [finding["ok"] for finding in found]) == (1, [False, True])
    assert f"pulling {pushed}\n" in said
    assert said.endswith(f"hint: invoke check {pushed} --json\n")
    assert engine.image(pushed) is not None


def test_an_image_of_a_registry_is_looked_at_without_an_engine(lab: Lab, pushed: str, tmp_path: Path) -> None:
    """Its layers tell what its files lack; that no tool was started is said."""
    nowhere = f"unix://{tmp_path}/none.sock"
    code, found, said = lab.check(pushed, DOCKER_HOST=nowhere, STATE_DIR=str(tmp_path / "other"))
    assert (code, [finding["tool"] for finding in found]) == (1, ["/usr/bin/rados"])
    assert f"warning: no Docker engine answers at {nowhere}" in said
    assert "no tool is started" in said
