"""Watching: a source that is compiled again whenever something in it is saved."""

import signal
import subprocess
import threading
from functools import partial
from pathlib import Path

from cephtasks.engine import Engine
from cephtasks.source.watching import rounds
from lab.engines import tiny_image
from lab.processes import wait_until
from lab.repositories import git, repository
from lab.terminal import Terminal


def test_only_saves_of_the_source_count(tmp_path: Path) -> None:
    """The build folder, git's own, what git ignores and editors' own files do not; a rename is a save.

    A file that is committed counts, though its name is one that git ignores.
    """
    folder = repository(tmp_path / "ceph")
    (folder / ".gitignore").write_text("*.log\n")
    (folder / "kept.log").write_text("old")
    git(folder, "add", "--force", "kept.log")
    for each in ("build", "builder", "src"):
        (folder / each).mkdir()
    seen = rounds(folder, [folder / "build"])
    assert next(seen) == ()

    def save() -> None:
        for name in ("build/object.o", "trace.log", "src/.main.c.swp", "src/main.c~"):
            (folder / name).write_text("nothing")
        git(folder, "config", "some.key", "value")
        (folder / "src" / "new.tmp~").write_text("new")
        (folder / "src" / "new.tmp~").rename(folder / "src" / "main.c")
        (folder / "builder" / "x.c").write_text("new")
        (folder / "kept.log").write_text("new")

    saving = threading.Timer(0.2, save)
    saving.start()
    found = {Path("builder/x.c"), Path("src/main.c"), Path("kept.log")}
    wanted = frozenset(found)
    for saved in seen:
        assert set(saved) <= {*wanted, Path("trace.log")}  # which git ignores, but it comes with others
        found -= set(saved)
        if not found:
            break
    saving.join()


_BUILD = """#!/bin/sh
mkdir -p build/install
cat source > build/install/file
echo "$(cat source) is compiled"
case $(cat source) in broken) exit 3;; esac
"""


def is_waiting_after(told: Path, said: str) -> bool:
    """Whether something was said, and then that the next save is waited for."""
    _, found, after = told.read_text().rpartition(said)
    return bool(found) and after.endswith("Ctrl-C ends this\n")


def test_each_save_is_compiled_until_ctrl_c(engine: Engine, image_name: str, tmp_path: Path) -> None:
    """A build that fails is told, and watching goes on; Ctrl-C while waiting ends it, with exit code 0."""
    name, folder = f"{image_name}:builder", tmp_path / "ceph"
    tiny_image(engine, name, "ENV PATH=/bin:/usr/bin", files={"usr/bin/build-cmake": _BUILD.encode()})
    folder.mkdir()
    source = folder / "source"
    source.write_text("one")
    terminal = Terminal(tmp_path)
    terminal.set(SOURCE_DIR=folder, STATE_DIR=tmp_path / "state", BUILDER_IMAGE=name, SHA1_OR_REF="")
    told = tmp_path / "stderr"
    with (
        told.open("wb") as stderr,
        subprocess.Popen(
            terminal.command("compile", "--watch"), env=terminal.environment(), cwd=tmp_path, stderr=stderr
        ) as process,
    ):
        try:
            for text in ("one", "broken", "two"):
                source.write_text(text)
                wait_until(partial(is_waiting_after, told, f"{text} is compiled\n"), "compiling")
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0
        finally:
            process.kill()
    said = told.read_text()
    assert "error: build-cmake exited 3" in said
    assert "hint: less " in said
    assert said.index("broken is compiled") < said.index("two is compiled")
    assert "source changed" in said
    assert (folder / "build/install/file").read_text() == "two"


def test_what_ends_a_compile_beforehand_ends_watching_too(tmp_path: Path) -> None:
    """Without a builder image there is nothing to wait for."""
    terminal = Terminal(tmp_path)
    terminal.set(SOURCE_DIR=tmp_path, STATE_DIR=tmp_path / "state", BUILDER_IMAGE="cephtasks-test/none")
    done = terminal.invoke("compile --watch")
    assert done.returncode == 1
    assert "has no image" in done.stderr
    assert [each.name for each in tmp_path.iterdir()] == [".env"]
