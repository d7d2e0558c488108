"""Index cache: only what changed is read again, and nothing that changed is missed."""

import json
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cephtasks import folder
from cephtasks.errors import StateUnwritable, TreeInvalid
from cephtasks.index_cache import UNREAD, index_folder
from cephtasks.tree import walk_order

OLD = Path(json.__file__).parent  # a folder of Python's own, which nobody has written to for long
PRETENDED = "f" * 64


def fill(tree: Path, *names: str) -> None:
    """Write a file of each name, whose content is the name."""
    for name in names:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(os.fsencode(name))


def rows(cache: Path) -> list[list[Any]]:
    """What the cache says of each file: path, hash, stamp."""
    return [json.loads(line) for line in cache.read_text().splitlines()[1:]]


def rewrite(cache: Path, rows: Iterable[Any]) -> None:
    """Let the cache say something else."""
    header = cache.read_text().splitlines()[0]
    cache.write_text("".join(f"{line}\n" for line in (header, *map(json.dumps, rows))))


def pretend(cache: Path) -> None:
    """Let the cache say of every file that its hash is another one: what is believed was not read."""
    rewrite(cache, [[path, PRETENDED, *stamp] for path, _, *stamp in rows(cache)])


def believed(tree: Path, cache: Path) -> set[str]:
    """The files whose hash is taken from the cache."""
    pretend(cache)
    return {path for path, entry in index_folder(tree, cache).items() if entry.sha256 == PRETENDED}


def files_of(tree: Path) -> set[str]:
    """The paths of a folder that have a hash."""
    return {path for path, entry in folder.index_folder(tree).items() if entry.sha256}


def test_an_index_is_the_same_with_and_without_a_cache(tmp_path: Path) -> None:
    """Links, folders and modes too, the first time and afterwards."""
    tree, cache = tmp_path / "tree", tmp_path / "state" / "index.jsonl"
    fill(tree, "usr/bin/ceph", os.fsdecode(b"usr/lib\xff"))
    (tree / "usr/bin/rados").hardlink_to(tree / "usr/bin/ceph")
    (tree / "bin").symlink_to("usr/bin")
    (tree / "usr/bin/ceph").chmod(0o4755)
    for _ in range(3):
        assert index_folder(tree, cache) == folder.index_folder(tree)


def test_unchanged_files_are_not_read_again(tmp_path: Path) -> None:
    """Their hashes come from the cache."""
    cache = tmp_path / "index.jsonl"
    index_folder(OLD, cache)
    assert believed(OLD, cache) == files_of(OLD)


def test_an_unchanged_tree_leaves_the_cache_alone(tmp_path: Path) -> None:
    """Nothing is written where nothing is new."""
    cache = tmp_path / "index.jsonl"
    index_folder(OLD, cache)
    before = cache.stat()
    index_folder(OLD, cache)
    assert (cache.stat().st_ino, cache.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_files_just_written_are_not_remembered(tmp_path: Path) -> None:
    """Another write could follow within the same tick of the clock, and leave no trace but the content."""
    fill(tmp_path / "tree", "new")
    index_folder(tmp_path / "tree", tmp_path / "index.jsonl")
    assert not (tmp_path / "index.jsonl").exists()


def test_every_change_is_seen(tmp_path: Path) -> None:
    """Also one that keeps size and mtime, and one that swaps files."""
    tree, cache = tmp_path / "tree", tmp_path / "index.jsonl"
    fill(tree, "kept", "grown", "written", "moded", "linked", "swap1", "swap2", "gone")
    time.sleep(2.1)  # longer than any tick
    index_folder(tree, cache)
    assert len(believed(tree, cache)) == 8
    (tree / "grown").write_text("grown more")
    times = (tree / "written").stat()
    (tree / "written").write_text("nettirw")
    os.utime(tree / "written", ns=(times.st_atime_ns, times.st_mtime_ns))
    (tree / "moded").chmod(0o4755)
    (tree / "another").hardlink_to(tree / "linked")
    (tree / "swap1").rename(tree / "swap3")
    (tree / "swap2").rename(tree / "swap1")
    (tree / "swap3").rename(tree / "swap2")
    (tree / "gone").unlink()
    fill(tree, "new")
    assert believed(tree, cache) == {"kept"}
    assert index_folder(tree, tmp_path / "fresh.jsonl") == folder.index_folder(tree)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff",
        b"[]",
        b"7",
        b'{"version":1}\n',
        b'{"version":2}',
        b'{"version":2}\n{',
        b'{"version":2}\n\xff\n\n\n',
    ],
)
def test_a_damaged_cache_costs_time_only(tmp_path: Path, content: bytes) -> None:
    """It is read anew, and mended."""
    cache = tmp_path / "index.jsonl"
    cache.write_bytes(content)
    assert index_folder(OLD, cache) == folder.index_folder(OLD)
    assert believed(OLD, cache) == files_of(OLD)


@pytest.mark.parametrize(
    "row",
    [None, 7, "text", "", [], {}, [7], [7, PRETENDED], ["{path}"], ["{path}", PRETENDED, 1, 2, 3, 4, 5, 6]],
)
def test_a_row_that_says_nothing_is_passed_over(tmp_path: Path, row: Any) -> None:
    """Whatever it is; of the other files the hashes are still known."""
    cache = tmp_path / "index.jsonl"
    index_folder(OLD, cache)
    first, *others = rows(cache)
    silent = json.loads(json.dumps(row).replace("{path}", first[0]))
    rewrite(cache, [silent, *([path, PRETENDED, *stamp] for path, _, *stamp in others)])
    index = index_folder(OLD, cache)
    assert index[first[0]] == folder.index_folder(OLD)[first[0]]
    assert all(index[path].sha256 == PRETENDED for path, *_ in others)
    assert rows(cache)[0] == first


@pytest.mark.parametrize("kept", [slice(0, 3), slice(1, None), slice(None, -1), slice(None, None, 2)])
def test_what_a_cache_lacks_is_put_back(tmp_path: Path, kept: slice) -> None:
    """Wherever the row was; what is there is believed all the same."""
    cache = tmp_path / "index.jsonl"
    index_folder(OLD, cache)
    whole = rows(cache)
    rewrite(cache, whole[kept])
    assert index_folder(OLD, cache) == folder.index_folder(OLD)
    assert rows(cache) == whole
    rewrite(cache, whole[kept])
    assert believed(OLD, cache) == {path for path, *_ in whole[kept]}


def test_what_is_gone_is_forgotten(tmp_path: Path) -> None:
    """Also where it was the last file."""
    tree, cache = tmp_path / "tree", tmp_path / "index.jsonl"
    fill(tree, "a", "a-b/c", "d/b", "z")
    time.sleep(2.1)
    index_folder(tree, cache)
    for gone in ("z", "a", "d/b"):
        (tree / gone).unlink()
        index_folder(tree, cache)
        assert {path for path, *_ in rows(cache)} == files_of(tree)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.sets(st.text("a-./0\udcff", min_size=1, max_size=6), min_size=1))
def test_files_are_known_by_whatever_names(tmp_path_factory: pytest.TempPathFactory, names: set[str]) -> None:
    """A folder is walked in the order in which the cache has its files."""
    place = tmp_path_factory.mktemp("names")
    tree, cache = place / "tree", place / "index.jsonl"
    tree.mkdir()
    for name in names:
        if not {"", ".", ".."} & {*name.split("/")}:
            with suppress(FileExistsError, NotADirectoryError, IsADirectoryError):
                fill(tree, name)
    fill(tree, "always")
    walked = [entry.path for entry, _ in folder.scan_folder(tree, lambda _path, _stamp: "")]
    assert walked == sorted(walked, key=walk_order)
    later = time.time_ns() + 10_000_000_000
    with pytest.MonkeyPatch.context() as clock:
        clock.setattr("cephtasks.index_cache.time.time_ns", lambda: later)
        index_folder(tree, cache)
        assert believed(tree, cache) == files_of(tree)


def test_a_cache_of_another_folder_is_no_use_but_no_harm(tmp_path: Path) -> None:
    """The same names elsewhere are other files."""
    fill(tmp_path / "one", "a")
    fill(tmp_path / "two", "a")
    (tmp_path / "two" / "a").write_text("b")
    cache = tmp_path / "index.jsonl"
    for name in ("one", "two", "one"):
        assert index_folder(tmp_path / name, cache) == folder.index_folder(tmp_path / name)


def test_a_cache_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """Where, and why; nothing half-written is left."""
    (tmp_path / "state").write_text("in the way")
    with pytest.raises(StateUnwritable, match=r"state/index\.jsonl cannot be written"):
        index_folder(OLD, tmp_path / "state" / "index.jsonl")
    (tmp_path / "index.jsonl").mkdir()
    with pytest.raises(StateUnwritable, match="cannot be written"):
        index_folder(OLD, tmp_path / "index.jsonl")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index.jsonl", "state"]


def test_a_tree_that_cannot_be_packed_leaves_the_cache_alone(tmp_path: Path) -> None:
    """An empty tree is an error, with or without a cache."""
    cache = tmp_path / "index.jsonl"
    index_folder(OLD, cache)
    before = cache.read_bytes()
    with pytest.raises(TreeInvalid):
        index_folder(tmp_path / "missing", cache)
    assert cache.read_bytes() == before


def test_a_new_cache_has_no_name_before_it_is_whole(tmp_path: Path) -> None:
    """So a run that is killed meanwhile leaves nothing beside the cache."""
    cache = tmp_path / "index.jsonl"
    index_folder(OLD, cache)
    whole = rows(cache)
    rewrite(cache, whole[1:])
    beside: set[str] = set()

    def look(path: str) -> bool:
        beside.update(found.name for found in tmp_path.iterdir())
        return True

    index_folder(OLD, cache, look)
    assert beside == {"index.jsonl"}
    assert rows(cache) == whole


def test_five_thousand_unchanged_files_take_milliseconds(tmp_path: Path) -> None:
    """The second index of a large tree takes a small part of a second."""
    tree, cache = tmp_path / "tree", tmp_path / "index.jsonl"
    fill(tree, *(f"usr/share/d{number % 200}/file{number}" for number in range(5_000)))
    time.sleep(2.1)
    index_folder(tree, cache)
    times = []
    for _ in range(5):
        started = time.process_time()
        index_folder(tree, cache)
        times.append(time.process_time() - started)
    assert min(times) < 0.25


def test_what_is_not_wanted_is_not_read(tmp_path: Path) -> None:
    """It stands in the index without its hash, and nothing of it is remembered."""
    tree, cache = tmp_path / "tree", tmp_path / "index.jsonl"
    fill(tree, "usr/bin/ceph", "usr/bin/rados")
    index = index_folder(tree, cache, lambda path: path == "usr/bin/ceph")
    assert index["usr/bin/rados"].sha256 == UNREAD
    assert index["usr/bin/ceph"] == folder.index_folder(tree)["usr/bin/ceph"]
    files = {path for path, entry in index_folder(OLD, cache, lambda path: "coder" in path).items()}
    assert {path for path, *_ in rows(cache)} == {path for path in files if "coder" in path}
