"""Stripping: the image gets what runs, debuggers get the rest, and an edit costs what it changes."""

import os
import re
import shutil
import stat
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cephtasks.builder import OUR_BUILDER
from cephtasks.engine import Engine, Mount, RunResult, RunSpec
from cephtasks.errors import ImageNotFound, StateUnwritable, StripFailed, TreeChanged
from cephtasks.folder import index_folder
from cephtasks.stripping import Stripped, debug_name, strip

NO_IMAGE = "cephtasks-test/no-such-builder:latest"  # with which no container can be started

SOURCE = """
#include <cstdio>
#include <string>
#include <vector>
int counted(const std::vector<std::string>& words) { return words.size(); }
int main() { std::printf("%d\\n", counted({"mon", "osd", "mds"})); return 0; }
"""
LINE_OF_COUNTED = 5
COMPILE = """
set -e
mkdir -p usr/local/bin usr/local/lib/ceph usr/local/sbin var/lib/ceph
g++ -g -o usr/local/bin/ceph-mon source.cc -Wl,-rpath,/usr/local/lib/ceph &
g++ -g -o usr/local/bin/ceph-osd source.cc -DOSD -Wl,--build-id=none -Wl,-rpath,/usr/local/lib/ceph &
g++ -g -static -o usr/local/bin/ceph-static source.cc &
g++ -g -no-pie -o usr/local/bin/ceph-fixed source.cc &
wait
g++ -g -shared -fPIC -Dmain=entry -o usr/local/lib/ceph/libceph.so.1 source.cc -Wl,-soname,libceph.so.1 &
g++ -g -c -Dmain=entry -o usr/local/lib/ceph/ceph.ko source.cc &
g++ -s -o usr/local/bin/stripped source.cc
wait
rm source.cc
"""


@pytest.fixture(scope="module")
def compiled(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a build installs, compiled in the builder image with debug information."""
    tree = tmp_path_factory.mktemp("compiled")
    (tree / "source.cc").write_text(SOURCE)
    output = in_builder(engine, COMPILE, Mount(tree, "/tree"))
    assert output == ""
    (tree / "usr/local/sbin/ceph-create-keys").write_text("#!/bin/sh\necho keys\n")
    (tree / "usr/local/sbin/ceph-create-keys").chmod(0o755)
    (tree / "usr/local/lib/ceph/libceph.so").symlink_to("libceph.so.1")
    return tree


@pytest.fixture
def tree(compiled: Path, tmp_path: Path) -> Path:
    """An install tree of this test alone, with a setuid program that has two names."""
    tree = tmp_path / "install"
    shutil.copytree(compiled, tree, symlinks=True)
    (tree / "usr/local/bin/ceph-mon").chmod(0o4755)
    (tree / "usr/local/bin/ceph-monitor").hardlink_to(tree / "usr/local/bin/ceph-mon")
    return tree


@pytest.fixture
def stripped(engine: Engine, tree: Path, tmp_path: Path) -> Stripped:
    """That tree, stripped."""
    return strip(tree, engine, OUR_BUILDER, tmp_path / "cache")


def in_builder(engine: Engine, script: str, *mounts: Mount) -> str:
    """What a script prints in the builder image, in the folder that is mounted first."""
    printed = bytearray()
    spec = RunSpec(OUR_BUILDER, entrypoint=("sh", "-c", script), mounts=mounts, workdir=mounts[0].target)
    result = engine.run(spec, printed.extend, printed.extend)
    assert result == RunResult(0), printed.decode()
    return printed.decode()


def readelf(path: Path, *options: str) -> str:
    """What readelf shows of a file."""
    command = ["readelf", "--wide", *options, str(path)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def sections(path: Path) -> set[str]:
    """The names of a file's sections."""
    return set(re.findall(r"^ +\[ *\d+\] (\S+)", readelf(path, "--sections"), re.MULTILINE))


def inodes(folder: Path) -> dict[str, int]:
    """Which file is which."""
    return {str(path.relative_to(folder)): path.lstat().st_ino for path in folder.rglob("*")}


PROGRAMS = ("ceph-mon", "ceph-monitor", "ceph-osd", "ceph-static", "ceph-fixed")
SPLIT = (*(f"usr/local/bin/{name}" for name in PROGRAMS), "usr/local/lib/ceph/libceph.so.1")


def test_what_is_stripped_runs(engine: Engine, stripped: Stripped) -> None:
    """Programs of every kind do what they did."""
    script = "; ".join(f"bin/{name}" for name in PROGRAMS)
    assert in_builder(engine, script, Mount(stripped.tree / "usr/local", "/usr/local")) == "3\n" * len(
        PROGRAMS
    )


@pytest.mark.parametrize("path", SPLIT)
def test_nothing_is_left_for_debuggers(stripped: Stripped, tree: Path, path: str) -> None:
    """No symbol table, no debug section, no compiler's comment; a smaller file."""
    left = sections(stripped.tree / path)
    assert [name for name in left if name.startswith(".debug")] == []
    assert not {".symtab", ".strtab", ".comment"} & left
    limit = 1 if path.endswith("static") else 0.5
    assert (stripped.tree / path).stat().st_size < limit * (tree / path).stat().st_size


@pytest.mark.parametrize("path", SPLIT)
def test_what_the_loader_needs_is_left(stripped: Stripped, tree: Path, path: str) -> None:
    """Dynamic symbols, soname, run path, and the notes, of which one is the build id."""
    for shown in ("--dyn-syms", "--dynamic", "--notes"):
        assert _without_addresses(readelf(stripped.tree / path, shown)) == _without_addresses(
            readelf(tree / path, shown)
        )


def _without_addresses(text: str) -> str:
    return re.sub(r"offset 0x\w+|^File: .*$", "", text, flags=re.MULTILINE)


@pytest.mark.parametrize(
    "path", ["usr/local/bin/stripped", "usr/local/sbin/ceph-create-keys", "usr/local/lib/ceph/ceph.ko"]
)
def test_what_needs_no_stripping_is_the_same_file(stripped: Stripped, tree: Path, path: str) -> None:
    """Scripts, files that are stripped already, and kernel modules: a link, not a copy."""
    assert (stripped.tree / path).samefile(tree / path)


def test_the_tree_is_laid_out_as_before(stripped: Stripped, tree: Path) -> None:
    """Paths, kinds, modes with setuid, link targets, hard links, empty folders."""
    before, after = index_folder(tree), index_folder(stripped.tree)
    assert {path: (entry.kind, entry.mode, entry.target) for path, entry in after.items()} == {
        path: (entry.kind, entry.mode, entry.target) for path, entry in before.items()
    }
    assert (stripped.tree / "usr/local/bin/ceph-mon").samefile(stripped.tree / "usr/local/bin/ceph-monitor")
    assert stat.S_IMODE((stripped.tree / "usr/local/bin/ceph-mon").stat().st_mode) == 0o4755


def test_the_install_tree_stays_as_it_is(engine: Engine, tree: Path, tmp_path: Path) -> None:
    """Not a byte of it changes."""
    before = index_folder(tree)
    strip(tree, engine, OUR_BUILDER, tmp_path / "cache")
    assert index_folder(tree) == before


def test_debuggers_find_the_line_of_a_function(engine: Engine, stripped: Stripped) -> None:
    """In /usr/lib/debug, by build id or by .gnu_debuglink; addr2line looks there as gdb does."""
    assert stripped.debug is not None
    script = """
        for program in bin/*-*; do
            id=$(readelf --notes "$program" | sed -n 's/.*Build ID: //p')
            debug=/usr/lib/debug/usr/local/$program.debug
            if [ "$id" ]; then
                debug=/usr/lib/debug/.build-id/$(echo "$id" | cut -c1-2)/$(echo "$id" | cut -c3-).debug
            fi
            at=$(nm "$debug" | sed -n 's/ T _Z7counted.*//p')
            echo "$program $(addr2line --exe="/usr/local/$program" "$at")"
        done
    """
    tree = Mount(stripped.tree / "usr/local", "/usr/local")
    debug = Mount(stripped.debug / "usr/lib/debug", "/usr/lib/debug", read_only=True)
    found = in_builder(engine, script, tree, debug).splitlines()
    assert found == [f"bin/{name} /tree/source.cc:{LINE_OF_COUNTED}" for name in sorted(PROGRAMS)]


def test_there_is_one_debug_file_for_each_file(stripped: Stripped) -> None:
    """Named by build id, or by path; anybody may read it, and nobody start it."""
    assert stripped.debug is not None
    entries = index_folder(stripped.debug)
    files = {path: entry for path, entry in entries.items() if entry.sha256}
    assert len(files) == stripped.files == len(SPLIT) - 1  # one file has two names
    assert {entry.mode for entry in files.values()} == {0o644}
    by_path = {path for path in files if ".build-id/" not in path}
    assert by_path == {"usr/lib/debug/usr/local/bin/ceph-osd.debug"}


def test_the_second_time_no_container_runs(
    engine: Engine, tree: Path, stripped: Stripped, tmp_path: Path
) -> None:
    """What is known is not stripped again, and both trees are left alone."""
    assert stripped.debug is not None
    before = inodes(stripped.tree), inodes(stripped.debug)
    again = strip(tree, engine, NO_IMAGE, tmp_path / "cache")
    assert (inodes(again.tree), inodes(stripped.debug)) == before
    assert (again.files, again.made, again.split_off) == (stripped.files, 0, stripped.split_off)


def test_an_edit_strips_what_it_changed(
    engine: Engine, tree: Path, stripped: Stripped, tmp_path: Path
) -> None:
    """One file in, one file out; what was kept of its former content goes."""
    before, kept = inodes(stripped.tree), len(list((tmp_path / "cache/files").iterdir()))
    shutil.copyfile(tree / "usr/local/bin/ceph-fixed", tree / "usr/local/bin/ceph-static")
    again = strip(tree, engine, OUR_BUILDER, tmp_path / "cache")
    assert again.made == 1
    after = inodes(again.tree)
    assert [path for path in after if after[path] != before[path]] == ["usr/local/bin/ceph-static"]
    assert len(list((tmp_path / "cache/files").iterdir())) == kept


def test_a_file_that_moved_is_known(engine: Engine, tree: Path, stripped: Stripped, tmp_path: Path) -> None:
    """It is stripped already, by what is in it."""
    (tree / "usr/local/bin/ceph-fixed").rename(tree / "usr/local/sbin/ceph-fixed")
    again = strip(tree, engine, NO_IMAGE, tmp_path / "cache")
    assert not (again.tree / "usr/local/bin/ceph-fixed").exists()
    assert ".symtab" not in sections(again.tree / "usr/local/sbin/ceph-fixed")


def test_files_of_the_same_content_stay_two(engine: Engine, tree: Path, tmp_path: Path) -> None:
    """Only what was one file before is one afterwards; modes are each file's own."""
    shutil.copyfile(tree / "usr/local/bin/ceph-fixed", tree / "usr/local/bin/copy")
    shutil.copyfile(tree / "usr/local/bin/ceph-fixed", tree / "usr/local/bin/twin")
    (tree / "usr/local/bin/twin").chmod(0o755)
    made = strip(tree, engine, OUR_BUILDER, tmp_path / "cache").tree / "usr/local/bin"
    assert (made / "ceph-fixed").read_bytes() == (made / "copy").read_bytes() == (made / "twin").read_bytes()
    assert not (made / "ceph-fixed").samefile(made / "twin")
    assert stat.S_IMODE((made / "copy").stat().st_mode) == 0o644


def test_the_same_tree_gives_the_same_bytes(
    engine: Engine, tree: Path, stripped: Stripped, tmp_path: Path
) -> None:
    """Whoever strips it, and when."""
    again = strip(tree, engine, OUR_BUILDER, tmp_path / "another")
    assert again.debug is not None
    assert stripped.debug is not None
    assert index_folder(again.tree) == index_folder(stripped.tree)
    assert index_folder(again.debug) == index_folder(stripped.debug)


def test_names_of_any_bytes(engine: Engine, tree: Path, tmp_path: Path) -> None:
    """Spaces, line ends, quotes, a dot in front, what is no UTF-8; for the link to the debug file too."""
    names = ("a b", "line\nend", "it's", "$(true)", ".hidden", "..hidden", "-g", os.fsdecode(b"\xff"))
    for name in names:
        shutil.copyfile(tree / "usr/local/bin/ceph-osd", tree / "usr/local/lib" / name)
    made = strip(tree, engine, OUR_BUILDER, tmp_path / "cache")
    assert made.debug is not None
    for name in names:
        shown = (made.tree / "usr/local/lib" / name).read_bytes()
        assert os.fsencode(f"{name}.debug") + b"\0" in shown
        assert (made.debug / "usr/lib/debug/usr/local/lib" / f"{name}.debug").is_file()


def test_without_debug_information_the_tree_is_as_it_is(engine: Engine, tree: Path, tmp_path: Path) -> None:
    """There is no container then, no folder, and nothing kept of before."""
    for path in SPLIT:
        (tree / path).unlink()
    assert strip(tree, engine, NO_IMAGE, tmp_path / "never") == Stripped(tree)
    assert not (tmp_path / "never").exists()


def test_debug_files_of_the_tree_itself_are_left_alone(engine: Engine, tree: Path, tmp_path: Path) -> None:
    """They are where they belong."""
    (tree / "usr/lib/debug").mkdir(parents=True)
    shutil.copyfile(tree / "usr/local/bin/ceph-osd", tree / "usr/lib/debug/own.debug")
    made = strip(tree, engine, OUR_BUILDER, tmp_path / "cache")
    assert (made.tree / "usr/lib/debug/own.debug").samefile(tree / "usr/lib/debug/own.debug")


def test_without_the_builder_image_nothing_is_stripped(engine: Engine, tree: Path, tmp_path: Path) -> None:
    """The error says how to come by it."""
    with pytest.raises(ImageNotFound) as caught:
        strip(tree, engine, NO_IMAGE, tmp_path / "cache")
    assert caught.value.hint == f"docker pull {NO_IMAGE}"


def test_an_image_without_the_tools_is_told(engine: Engine, tiny: str, tree: Path, tmp_path: Path) -> None:
    """In the words of what is missing."""
    with pytest.raises(StripFailed, match="not found"):
        strip(tree, engine, tiny, tmp_path / "cache")


def test_a_file_that_the_tools_refuse_is_named(engine: Engine, tree: Path, tmp_path: Path) -> None:
    """With the line of the tool; the next run, with the file mended, is right."""
    whole = (tree / "usr/local/bin/ceph-fixed").read_bytes()
    alien = bytearray(whole)
    alien[18:20] = b"\x34\x12"  # e_machine, of no machine that there is
    (tree / "usr/local/bin/ceph-fixed").write_bytes(alien)
    with pytest.raises(StripFailed, match="usr/local/bin/ceph-fixed cannot be stripped: objcopy: "):
        strip(tree, engine, OUR_BUILDER, tmp_path / "cache")
    (tree / "usr/local/bin/ceph-fixed").write_bytes(whole)
    assert strip(tree, engine, OUR_BUILDER, tmp_path / "cache").files == len(SPLIT) - 1


def test_a_file_that_changes_meanwhile_is_not_kept(engine: Engine, tree: Path, tmp_path: Path) -> None:
    """Its hash is that of what it was before."""

    def change(_what: str, _done: int, _total: int) -> None:
        (tree / "usr/local/bin/ceph-fixed").touch()

    with pytest.raises(TreeChanged, match="/usr/local/bin/ceph-fixed changed while it was being stripped"):
        strip(tree, engine, OUR_BUILDER, tmp_path / "cache", change)
    assert strip(tree, engine, OUR_BUILDER, tmp_path / "cache").made == len(SPLIT) - 1


def test_an_interrupt_leaves_nothing_half(engine: Engine, tree: Path, tmp_path: Path) -> None:
    """Whatever was made, the next run makes what a first run makes."""

    def interrupt(_what: str, _done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        strip(tree, engine, OUR_BUILDER, tmp_path / "cache", interrupt)
    assert not (tmp_path / "cache/new").exists()
    again = strip(tree, engine, OUR_BUILDER, tmp_path / "cache")
    whole = strip(tree, engine, OUR_BUILDER, tmp_path / "another")
    assert index_folder(again.tree) == index_folder(whole.tree)


def test_two_at_once_take_turns(tree: Path, tmp_path: Path) -> None:
    """The second finds what the first made."""

    def run(_number: int) -> Stripped:
        own = Engine.connect()
        try:
            return strip(tree, own, OUR_BUILDER, tmp_path / "cache")
        finally:
            own.close()

    with ThreadPoolExecutor() as pool:
        made = sorted(found.made for found in pool.map(run, range(2)))
    assert made == [0, len(SPLIT) - 1]


def test_progress_counts_bytes(engine: Engine, tree: Path, tmp_path: Path) -> None:
    """From the first file to all of them."""
    told: list[tuple[int, int]] = []
    strip(
        tree, engine, OUR_BUILDER, tmp_path / "cache", lambda _what, done, total: told.append((done, total))
    )
    assert [done for done, _ in told] == sorted({done for done, _ in told})
    assert (
        told[-1][0]
        == told[-1][1]
        == sum((tree / path).stat().st_size for path in SPLIT if "monitor" not in path)
    )


def test_a_dry_run_makes_nothing(tree: Path, tmp_path: Path) -> None:
    """It says how many files there are to strip."""
    dry = Engine.connect(dry=True)
    try:
        assert strip(tree, dry, NO_IMAGE, tmp_path / "cache") == Stripped(tree, files=len(SPLIT) - 1)
    finally:
        dry.close()
    assert not (tmp_path / "cache/files").exists()


def test_a_cache_that_cannot_be_written_is_told(engine: Engine, tree: Path, tmp_path: Path) -> None:
    """With the path that stands in the way."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StateUnwritable, match="file"):
        strip(tree, engine, OUR_BUILDER, tmp_path / "file" / "cache")


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("ceph-heads/wip", "ceph-heads/wip:latest-debug"),
        ("localhost:5000/ceph/daemon:wip", "localhost:5000/ceph/daemon:wip-debug"),
        (f"ceph:{'x' * 128}", f"ceph:{'x' * 122}-debug"),
    ],
)
def test_the_second_image_is_named_after_the_first(image: str, expected: str) -> None:
    """Its tag ends in -debug, and is as long as a tag may be."""
    assert debug_name(image) == expected
