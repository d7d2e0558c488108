"""Clones of real repositories: how little they fetch, and that one that was cut short is gone on with."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cephtasks import source
from cephtasks.errors import CephtasksError, CloneFailed, ObjectsGone
from cephtasks.source.clone import WHOLE, CloneOptions
from lab.processes import wait_until
from lab.repositories import ENVIRONMENT, commit, git, with_submodule


@pytest.fixture(autouse=True)
def identity(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commits need a name."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def upstream(tmp_path: Path) -> Path:
    """What GIT_URL names; it lets itself be cloned in part."""
    made = with_submodule(tmp_path / "far")
    for each in (made, made.parent / "library"):
        git(each, "config", "uploadpack.allowFilter", "true")
    return made


def prepare(folder: Path, upstream: Path, ref: str, how: CloneOptions = WHOLE) -> source.Source:
    """Prepare with git's output thrown away, over git's own protocol."""
    return source.prepare(folder, f"file://{upstream}", ref, lambda chunk: None, how=how)


def missing_objects(folder: Path) -> list[str]:
    """What a partial clone left at the far side."""
    command = ["rev-list", "--objects", "--all", "--missing=print"]
    return [line for line in git(folder, *command).splitlines() if line.startswith("?")]


def own_objects(folder: Path) -> int:
    """How many objects a repository has itself, and does not borrow."""
    told = dict(line.split(": ") for line in git(folder, "count-objects", "-v").splitlines())
    return int(told["count"]) + int(told["in-pack"])


def test_a_filter_leaves_contents_until_they_are_needed(upstream: Path, tmp_path: Path) -> None:
    """Contents of other commits are not fetched, the submodule's neither; a switch fetches what it needs."""
    folder = tmp_path / "ceph"
    commit(upstream, "third", main__c="three")
    prepare(folder, upstream, "origin/master", CloneOptions(filter="blob:none"))
    assert missing_objects(folder)
    assert git(folder / "library", "config", "remote.origin.partialclonefilter") == "blob:none"
    assert prepare(folder, upstream, "v1").commit == git(upstream, "rev-parse", "v1")
    assert (folder / "main.c").read_text() == "one"
    assert (folder / "library" / "lib.c").read_text() == "one"


@pytest.mark.parametrize(
    "ref",
    [
        *("v1", "refs/tags/v1", "wip-fix", "remotes/origin/wip-fix", "refs/heads/wip-fix"),
        *("refs/pull/7/head", "master~1", "SHA", "SHORT"),
    ],
)
@pytest.mark.parametrize("fresh", [True, False], ids=["clone", "switch"])
def test_a_shallow_clone_reaches_every_form_of_ref(
    upstream: Path, tmp_path: Path, ref: str, fresh: bool
) -> None:
    """What was not fetched is fetched when it is asked for, as little as will do."""
    wanted, folder = git(upstream, "rev-parse", "v1"), tmp_path / "ceph"
    git(upstream, "update-ref", "refs/pull/7/head", "v1")
    named = {"SHA": wanted, "SHORT": wanted[:10]}.get(ref, ref)
    how = CloneOptions(depth=1)
    if not fresh:
        prepare(folder, upstream, "origin/master", how)
        assert git(folder, "rev-list", "--count", "HEAD") == "1"
    assert prepare(folder, upstream, named, how).commit == wanted
    assert (folder / "library" / "lib.c").read_text() == "one"
    everything = ref in ("master~1", "SHORT")
    assert git(folder, "rev-parse", "--is-shallow-repository") == ("false" if everything else "true")


def test_a_shallow_clone_without_a_ref_is_of_the_default_branch(upstream: Path, tmp_path: Path) -> None:
    """An empty SHA1_OR_REF takes what the far side's HEAD names."""
    prepare(tmp_path / "ceph", upstream, "", CloneOptions(depth=1))
    assert git(tmp_path / "ceph", "branch", "--show-current") == "master"
    assert git(tmp_path / "ceph", "rev-list", "--count", "HEAD") == "1"


def test_a_branch_of_a_shallow_clone_is_known_afterwards(upstream: Path, tmp_path: Path) -> None:
    """What was fetched by its name needs no remote any more."""
    how = CloneOptions(depth=1)
    prepare(tmp_path / "ceph", upstream, "origin/master", how)
    prepare(tmp_path / "ceph", upstream, "origin/wip-fix", how)
    prepare(tmp_path / "ceph", upstream, "origin/master", how)
    upstream.rename(upstream.with_name("away"))
    assert prepare(tmp_path / "ceph", upstream, "origin/wip-fix", how).ref == "origin/wip-fix"


def test_a_reference_lends_its_objects(upstream: Path, tmp_path: Path) -> None:
    """Nothing is fetched that the reference has, nor for the submodule; what is newer than it is fetched."""
    lender = tmp_path / "lender"
    prepare(lender, upstream, "")
    later = commit(upstream, "third", main__c="three")
    folder = tmp_path / "ceph"
    made = prepare(folder, upstream, "origin/master", CloneOptions(reference=lender))
    assert made.commit == later
    assert own_objects(folder) < own_objects(lender)
    borrowing = folder / ".git" / "modules" / "library" / "objects" / "info" / "alternates"
    assert Path(borrowing.read_text().strip()) == lender / ".git" / "modules" / "library" / "objects"
    assert (folder / "library" / "lib.c").read_text() == "two"


def test_a_reference_that_went_away_is_named(upstream: Path, tmp_path: Path) -> None:
    """Brought back, all is well again."""
    lender, folder = tmp_path / "lender", tmp_path / "ceph"
    prepare(lender, upstream, "")
    prepare(folder, upstream, "v1", CloneOptions(reference=lender))
    lender.rename(tmp_path / "away")
    for look in (source.describe, lambda tree: prepare(tree, upstream, "origin/master")):
        with pytest.raises(ObjectsGone) as raised:
            look(folder)
        assert str(lender / ".git" / "objects") in raised.value.fact
    (tmp_path / "away").rename(lender)
    assert source.describe(folder).commit == git(upstream, "rev-parse", "v1")


def test_a_reference_that_is_none_fails_the_clone(upstream: Path, tmp_path: Path) -> None:
    """It is said by name, and nothing is left."""
    with pytest.raises(CloneFailed, match="lender"):
        prepare(tmp_path / "new" / "ceph", upstream, "v1", CloneOptions(reference=tmp_path / "lender"))
    assert list((tmp_path / "new").iterdir()) == []


def test_a_clone_that_failed_is_gone_on_with(upstream: Path, tmp_path: Path) -> None:
    """A submodule that cannot be had ends the clone without a source; what was fetched waits beside it."""
    library, folder = upstream.parent / "library", tmp_path / "new" / "ceph"
    library.rename(library.with_name("away"))
    with pytest.raises(CloneFailed, match="submodules"):
        prepare(folder, upstream, "v1")
    (scratch,) = folder.parent.iterdir()
    first = {path.name for path in (scratch / "ceph/.git/objects/pack").iterdir()}
    assert first

    later = commit(upstream, "third", main__c="three")
    library.with_name("away").rename(library)
    assert prepare(folder, upstream, "origin/master").commit == later
    assert first <= {path.name for path in (folder / ".git/objects/pack").iterdir()}
    assert (folder / "library" / "lib.c").read_text() == "two"
    assert list(folder.parent.iterdir()) == [folder]


def test_leftovers_of_other_clones_go_with_the_one_that_ends_well(upstream: Path, tmp_path: Path) -> None:
    """A cut clone with other options leaves nothing for ever; what is the user's stays."""
    folder = tmp_path / "new" / "ceph"
    with pytest.raises(CephtasksError):
        prepare(folder, upstream, "0123456789012345678901234567890123456789")
    (folder.parent / ".ceph-clone-of-mine").mkdir()
    prepare(folder, upstream, "v1", CloneOptions(filter="blob:none"))
    assert {path.name for path in folder.parent.iterdir()} == {"ceph", ".ceph-clone-of-mine"}


_PROGRAM = (
    "import sys; from pathlib import Path; from cephtasks import source\n"
    "source.prepare(Path(sys.argv[1]), sys.argv[2], 'origin/master', lambda chunk: None)"
)


def killed_when(folder: Path, upstream: Path, hook: Path) -> None:
    """Clone in a process that is killed, with its git, when a hook of git's says that it got there."""
    reached = hook.with_suffix(".reached")
    hook.write_text(f"#!/bin/sh\ntouch {reached}\nsleep 60\n")
    hook.chmod(0o755)
    settings = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "core.hooksPath"}
    process = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, str(folder), f"file://{upstream}"],
        env={**os.environ, **settings, "GIT_CONFIG_VALUE_0": str(hook.parent)},
        start_new_session=True,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(reached.exists, "git's hook")
    finally:
        _kill(process)


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """Kill a process and all that it started, in other groups too, as a machine does that loses its power."""
    listed = subprocess.run(["ps", "-e", "-o", "pid=,sid="], check=True, capture_output=True, text=True)
    pairs = (line.split() for line in listed.stdout.splitlines())
    for pid in [int(pid) for pid, session in pairs if int(session) == process.pid]:
        os.kill(pid, signal.SIGKILL)
    process.wait()


def test_a_clone_killed_in_the_middle_is_gone_on_with(upstream: Path, tmp_path: Path) -> None:
    """Whatever git left half done, its locks too, the same clone ends well when it is typed again."""
    folder, hooks = tmp_path / "new" / "ceph", tmp_path / "hooks"
    hooks.mkdir()
    killed_when(folder, upstream, hooks / "post-checkout")
    (scratch,) = folder.parent.iterdir()
    own = scratch / "ceph" / ".git"
    (own / "index.lock").touch()
    broken = own / "modules" / "library"  # as a clone of a submodule leaves it when it is killed
    (broken / "refs").mkdir(parents=True)
    (broken / "objects").mkdir()
    (broken / "HEAD").write_text("ref: refs/heads/master\n")

    assert prepare(folder, upstream, "origin/master").commit == git(upstream, "rev-parse", "master")
    assert git(folder, "status", "--porcelain") == ""
    assert (folder / "library" / "lib.c").read_text() == "two"
    assert list(folder.parent.iterdir()) == [folder]


def test_two_clones_at_once_make_one(upstream: Path, tmp_path: Path) -> None:
    """The second waits for the first, and then finds the source there."""
    folder = tmp_path / "new" / "ceph"
    command = [sys.executable, "-c", _PROGRAM, str(folder), f"file://{upstream}"]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(2)]
    ended = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], ended
    assert list(folder.parent.iterdir()) == [folder]
    assert git(folder, "status", "--porcelain") == ""
