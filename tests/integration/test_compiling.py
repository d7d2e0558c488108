"""`invoke compile` with the project's builder image: what is done, and what is not done again."""

import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cephtasks.engine import LABEL
from lab.processes import wait_until
from lab.terminal import ROOT, Terminal

_EXAMPLE = ROOT / "examples" / "miniceph"
_ERROR = 'static_assert(sizeof(int) == 1, "no such machine");\n'
_MDS = "src/ceph_mds.cc"
_QUICK = "-DWITH_TESTS=OFF -DCMAKE_BUILD_TYPE=Debug"


@dataclass(frozen=True)
class Tree:
    """A copy of the example where `invoke compile` is typed."""

    terminal: Terminal
    folder: Path

    def start(self, *words: str) -> "subprocess.Popen[str]":
        """Type `invoke compile`, without waiting for its end."""
        return subprocess.Popen(
            self.terminal.command("compile", *words),
            cwd=self.terminal.folder,
            env=self.terminal.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def compile(self, *words: str) -> str:
        """Type `invoke compile` where that must go well; what it says."""
        done = self.terminal.invoke("compile", *words)
        assert done.returncode == 0, done.stderr
        assert done.stdout == ""
        return done.stderr

    def installed(self) -> dict[str, bytes]:
        """The files of the install tree."""
        tree = self.folder / "build" / "install"
        files = (path for path in tree.rglob("*") if path.is_file())
        return {str(path.relative_to(tree)): path.read_bytes() for path in files}

    def edit(self, text: str) -> None:
        """Put a line at the end of a source file."""
        with (self.folder / _MDS).open("a") as file:
            file.write(text)

    def undo(self) -> None:
        """Put the source file back."""
        shutil.copy(_EXAMPLE / _MDS, self.folder / _MDS)


def tree_at(folder: Path, cache: Path) -> Tree:
    """The tree in `folder/ceph`, compiled through a cache."""
    terminal = Terminal(folder)
    terminal.set(
        SOURCE_DIR=folder / "ceph",
        STATE_DIR=folder / "state",
        SHA1_OR_REF="",
        CONFIGURE_FLAGS=_QUICK,
        CCACHE_DIR=cache,
    )
    return Tree(terminal, folder / "ceph")


def copied(folder: Path, cache: Path) -> Tree:
    """A copy of the example without git."""
    shutil.copytree(_EXAMPLE, folder / "ceph", ignore=shutil.ignore_patterns("build"))
    return tree_at(folder, cache)


def toy(folder: Path, cache: Path) -> Tree:
    """A tree of a few files, each of which takes a moment to compile."""
    source = folder / "ceph"
    source.mkdir(parents=True)
    names = [f"part{number}.cc" for number in range(6)]
    for name in names:
        (source / name).write_text(f"#include <string>\nstd::string {name[:5]}() {{ return __FILE__; }}\n")
    (source / "main.cc").write_text("int main() {}\n")
    lists = ["cmake_minimum_required(VERSION 3.16)", "project(toy LANGUAGES CXX)"]
    lists += [f"add_executable(toy main.cc {' '.join(names)})", "install(TARGETS toy)"]
    (source / "CMakeLists.txt").write_text("\n".join(lists))
    return tree_at(folder, cache)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache of all trees here."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> tuple[Tree, str]:
    """A tree that was compiled once, and what was said."""
    tree = copied(tmp_path_factory.mktemp("first"), cache)
    return tree, tree.compile()


@pytest.fixture
def tree(first: tuple[Tree, str]) -> Iterator[Tree]:
    """That tree; what a test edits is put back."""
    yield first[0]
    first[0].undo()


def hits(said: str) -> tuple[int, int]:
    """The share of hits in percent, and the number of compiled files, of the closing line."""
    found = re.search(r"^compiled in .*, (\d+) % of (\d+) files? from the cache, ", said.splitlines()[-1])
    assert found is not None, said
    return int(found[1]), int(found[2])


def steps(said: str) -> int:
    """How many steps ninja had to do."""
    found = re.search(r"^\[1/(\d+)\] ", said, re.MULTILINE)
    return int(found[1]) if found else 0


def containers(tree: Tree) -> list[str]:
    """The builders that have the tree."""
    listing = ["docker", "ps", "--quiet", f"--filter=label={LABEL}=compile", f"--filter=volume={tree.folder}"]
    return subprocess.run(listing, check=True, capture_output=True, text=True).stdout.split()


def test_the_first_build_configures_and_finds_nothing(first: tuple[Tree, str]) -> None:
    """A source without git and an empty cache; every file is compiled."""
    tree, said = first
    assert said.startswith("build-cmake: configuring, as it never was\n")
    percent, files = hits(said)
    assert percent == 0
    assert files > 15
    assert "usr/bin/ceph-mds" in tree.installed()


def test_the_same_again_does_nothing(tree: Tree) -> None:
    """Nothing is configured, compiled or installed."""
    tree.compile()
    said = tree.compile()
    assert said.startswith("build-cmake: not configuring, as nothing of it changed\n")
    assert steps(said) == 0
    assert "build-cmake: installed before\n" in said


def test_one_edit_compiles_what_it_touches(tree: Tree) -> None:
    """A file and the program that it is part of."""
    tree.compile()
    tree.edit("// more\n")
    assert steps(tree.compile()) == 2


def test_a_wiped_tree_comes_from_the_cache(tree: Tree) -> None:
    """CLEAN takes the build folder away, not the cache; the result is the same, byte for byte."""
    tree.compile()
    before = tree.installed()
    percent, files = hits(tree.compile("--clean"))
    assert percent >= 90
    assert files > 15
    assert tree.installed() == before


def test_a_worktree_comes_from_the_cache(tree: Tree, cache: Path, tmp_path: Path) -> None:
    """Another checkout of the same source elsewhere, whose .git is a file, shares what is compiled."""
    repository = tmp_path / "repository"
    shutil.copytree(_EXAMPLE, repository, ignore=shutil.ignore_patterns("build"))
    git = ["git", "-C", str(repository), "-c", "user.name=x", "-c", "user.email=x@example.com"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"], ["worktree", "add", "../ceph"]):
        subprocess.run([*git, *words], check=True, capture_output=True)
    tree.compile()
    worktree = tree_at(tmp_path, cache)
    assert (worktree.folder / ".git").is_file()
    assert hits(worktree.compile())[0] >= 90
    assert worktree.installed() == tree.installed()


def test_other_flags_configure_again(tree: Tree) -> None:
    """And flags that only concern what is not built compile nothing; the same is true of the way back."""
    tree.compile()
    for flags in (f"{_QUICK} -DCMAKE_VERBOSE_MAKEFILE=OFF", _QUICK):
        said = tree.compile("--configure-flags", flags)
        assert said.startswith("build-cmake: configuring, as CONFIGURE_FLAGS changed\n")
        assert steps(said) == 0


def test_build_files_that_changed_configure_again(tree: Tree) -> None:
    """ninja finds that out, and it is told."""
    tree.compile()
    (tree.folder / "CMakeLists.txt").touch()
    assert "configuring again, as build files changed\n" in tree.compile()


def test_a_clean_build_without_reconfiguring_is_configured_once(tree: Tree) -> None:
    """RECONFIGURE=false does not make the next build configure once more."""
    tree.compile("--clean", "--reconfigure", "false")
    assert tree.compile().startswith("build-cmake: not configuring, as nothing of it changed\n")


def test_a_compile_error_is_told_at_the_end(tree: Tree) -> None:
    """With the line that it is about; mended, the same command goes on."""
    tree.compile()
    tree.edit(_ERROR)
    done = tree.terminal.invoke("compile")
    assert done.returncode == 1
    told = done.stderr.partition("the first errors of ")[2].splitlines()
    assert f"{_MDS}:" in told[1]
    assert "no such machine" in told[1]
    assert _ERROR.strip() in told[2]
    assert told[-2].startswith("error: build-cmake exited 1 after ")
    tree.undo()
    tree.compile()


def test_a_compiler_that_gets_too_little_memory_is_told(tree: Tree) -> None:
    """The kernel kills it; the setting to change is named."""
    with tree.start("--clean", "--compiler-launcher", "none", "--build-threads", "2") as process:
        assert process.stderr is not None
        wait_until(lambda: bool(containers(tree)), "the builder")
        limits = ["--memory=24m", "--memory-swap=24m"]
        wait_until(
            lambda: (
                not subprocess.run(
                    ["docker", "update", *limits, *containers(tree)], check=False, capture_output=True
                ).returncode
            ),
            "limiting the builder",
        )
        said = process.stderr.read()
    assert process.returncode == 1
    fact, hint = said.splitlines()[-2:]
    assert re.match(r"error: build-cmake (ran out|was killed, most likely for want) of memory", fact), said
    assert hint.startswith("hint: BUILD_THREADS=1 invoke compile, or less ")


def test_a_build_that_was_stopped_goes_on(tree: Tree) -> None:
    """After Ctrl-C no container is left, and what was compiled is not compiled again."""
    with tree.start("--clean", "--compiler-launcher", "none") as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("[6/"):
                break
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
    assert process.returncode == 130
    assert said.splitlines()[-1] == "hint: type the same again, it continues"
    assert containers(tree) == []
    all_steps = int(line.partition("/")[2].partition("]")[0])
    assert 0 < steps(tree.compile("--compiler-launcher", "none")) <= all_steps - 5


def test_two_trees_at_once_share_a_cache(tmp_path: Path) -> None:
    """Both end well with the same result, and the next tree finds everything."""
    cache = tmp_path / "cache"
    trees = [toy(tmp_path / name, cache) for name in ("one", "two", "three")]
    with trees[0].start() as one, trees[1].start() as two:
        said = [one.communicate()[1], two.communicate()[1]]
    assert (one.returncode, two.returncode) == (0, 0), said
    assert trees[0].installed() == trees[1].installed()
    assert hits(trees[2].compile())[0] >= 90
    assert trees[2].installed() == trees[0].installed()
