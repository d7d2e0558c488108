"""Source, on real git repositories: any ref is reached, and no work is ever discarded."""

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cephtasks import source
from cephtasks.errors import (
    CloneFailed,
    GitFailed,
    GitMissing,
    GitUrlInvalid,
    RefUnknown,
    SourceDirty,
    SourceNotFolder,
)
from lab.repositories import ENVIRONMENT, commit, git, repository, with_submodule


@pytest.fixture(autouse=True)
def identity(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commits need a name."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def upstream(tmp_path: Path) -> Path:
    """What GIT_URL names."""
    return with_submodule(tmp_path / "far")


@pytest.fixture
def tree(upstream: Path, tmp_path: Path) -> Path:
    """A clone of upstream at its master, detached."""
    folder = tmp_path / "ceph"
    prepare(folder, upstream, "remotes/origin/master")
    return folder


def prepare(folder: Path, url: Path | str, ref: str) -> source.Source:
    """Prepare with git's output thrown away."""
    return source.prepare(folder, str(url), ref, lambda chunk: None)


def everything(folder: Path) -> dict[str, bytes]:
    """Every file outside git's own folders."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".git" not in path.relative_to(folder).parts
    }


def test_a_missing_folder_is_cloned_with_submodules(
    upstream: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The clone stands at the ref, its submodules are filled, nothing else is left; a pipe gets one line."""
    said: list[bytes] = []
    made = source.prepare(tmp_path / "new" / "ceph", str(upstream), "remotes/origin/master", said.append)

    assert (made.folder / "main.c").read_text() == "two"
    assert (made.folder / "library" / "lib.c").read_text() == "two"
    assert made.commit == git(upstream, "rev-parse", "master")
    assert (made.dirty, made.committed) == (False, "2024-05-06T05:08:09Z")
    assert said == []
    assert capfd.readouterr().err == f"cloning {upstream} into {made.folder}\n"
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["ceph"]


def test_an_empty_folder_is_cloned_into(upstream: Path, tmp_path: Path) -> None:
    """A folder made beforehand is no obstacle."""
    (tmp_path / "ceph").mkdir()
    assert prepare(tmp_path / "ceph", upstream, "v1").commit == git(upstream, "rev-parse", "v1")


def test_a_clone_without_a_ref_stays_on_the_default_branch(upstream: Path, tmp_path: Path) -> None:
    """An empty SHA1_OR_REF takes what the far side's HEAD names, submodules included."""
    prepare(tmp_path / "ceph", upstream, "")
    assert git(tmp_path / "ceph", "branch", "--show-current") == "master"
    assert (tmp_path / "ceph" / "library" / "lib.c").exists()


def test_a_relative_url_counts_from_the_current_folder(
    upstream: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GIT_URL may name a repository on this host as the user sees it."""
    monkeypatch.chdir(upstream.parent)
    assert prepare(tmp_path / "ceph", "upstream", "v1").commit == git(upstream, "rev-parse", "v1")


@pytest.mark.parametrize(
    "ref",
    [
        "v1",
        "tags/v1",
        "refs/tags/v1",
        "wip-fix",
        "origin/wip-fix",
        "remotes/origin/wip-fix",
        "refs/remotes/origin/wip-fix",
        "heads/wip-fix",
        "master~1",
        "SHA",
        "SHORT",
        "refs/pull/7/head",
    ],
)
@pytest.mark.parametrize("fresh", [True, False], ids=["clone", "switch"])
def test_every_form_of_ref_is_reached(upstream: Path, tmp_path: Path, ref: str, fresh: bool) -> None:
    """Commits, tags and branches, long or short, local or remote, as the old workflow wrote them."""
    wanted = git(upstream, "rev-parse", "v1")
    git(upstream, "update-ref", "refs/pull/7/head", "v1")
    named = {"SHA": wanted, "SHORT": wanted[:10]}.get(ref, ref)
    if not fresh:
        prepare(tmp_path / "ceph", upstream, "origin/master")
        git(tmp_path / "ceph", "branch", "wip-fix", "origin/wip-fix")

    assert prepare(tmp_path / "ceph", upstream, named).commit == wanted
    assert (tmp_path / "ceph" / "library" / "lib.c").read_text() == "one"


def test_only_an_unknown_ref_is_fetched(tree: Path, upstream: Path) -> None:
    """What is known here is built without asking the far side; what is not known is fetched."""
    later = commit(upstream, "third", main__c="three")
    git(upstream, "branch", "new", later)

    assert prepare(tree, upstream, "origin/master").commit != later
    assert prepare(tree, upstream, "origin/new").commit == later
    assert (tree / "main.c").read_text() == "three"


def test_a_known_ref_needs_no_remote(tree: Path, upstream: Path) -> None:
    """Switching works on a train."""
    upstream.rename(upstream.with_name("away"))
    assert prepare(tree, upstream, "v1").ref == "v1"


def test_untracked_and_ignored_files_are_kept(tree: Path, upstream: Path) -> None:
    """Notes and the build folder survive a switch."""
    (tree / "build").mkdir()
    (tree / "build" / "CMakeCache.txt").write_text("cache")
    (tree / "notes.txt").write_text("mine")

    prepare(tree, upstream, "v1")
    assert (tree / "main.c").read_text() == "one"
    assert (tree / "build" / "CMakeCache.txt").read_text() == "cache"
    assert (tree / "notes.txt").read_text() == "mine"


def test_an_edit_that_the_switch_does_not_touch_is_carried(tree: Path, upstream: Path) -> None:
    """Only work that would be lost is a reason to refuse."""
    (tree / "other.c").write_text("mine")
    assert prepare(tree, upstream, "v1").dirty
    assert (tree / "other.c").read_text() == "mine"


def test_a_switch_that_would_lose_edits_is_refused(tree: Path, upstream: Path) -> None:
    """The refusal names the file and says what to type; nothing has changed."""
    (tree / "main.c").write_text("mine")
    before = everything(tree)

    with pytest.raises(SourceDirty, match=r"main\.c") as refused:
        prepare(tree, upstream, "v1")
    assert f"git -C {tree} stash" in refused.value.hint
    assert "SHA1_OR_REF=" in refused.value.hint
    assert everything(tree) == before


def test_at_most_five_files_are_named(tree: Path, upstream: Path) -> None:
    """A long list is cut, and the rest counted."""
    names = [f"file{number}.c" for number in range(8)]
    later = commit(upstream, "eight more", **{name.replace(".", "__"): "theirs" for name in names})
    for name in names:
        (tree / name).write_text("mine")

    with pytest.raises(SourceDirty, match=r"file4\.c and 3 more") as refused:
        prepare(tree, upstream, later)
    assert "file5.c" not in str(refused.value)


def test_an_ignored_file_in_the_way_is_not_overwritten(tree: Path, upstream: Path) -> None:
    """git would overwrite it in silence."""
    (upstream / "trace.log").write_text("theirs")
    git(upstream, "add", "--force", "trace.log")
    later = commit(upstream, "a log")
    (tree / "trace.log").write_text("mine")

    with pytest.raises(SourceDirty, match=r"trace\.log"):
        prepare(tree, upstream, later)
    assert (tree / "trace.log").read_text() == "mine"


def test_an_edited_submodule_refuses_the_switch(tree: Path, upstream: Path) -> None:
    """Submodules are switched too, so their edits count."""
    (tree / "library" / "lib.c").write_text("mine")
    with pytest.raises(SourceDirty, match="library"):
        prepare(tree, upstream, "v1")
    assert (tree / "main.c").read_text() == "two"
    assert (tree / "library" / "lib.c").read_text() == "mine"


def test_a_commit_made_in_a_submodule_refuses_the_switch(tree: Path, upstream: Path) -> None:
    """A commit on no branch would be hard to find again."""
    mine = commit(tree / "library", "mine", lib__c="mine")
    with pytest.raises(SourceDirty, match="library"):
        prepare(tree, upstream, "v1")
    assert git(tree / "library", "rev-parse", "HEAD") == mine


def test_a_commit_on_no_branch_refuses_the_switch(tree: Path, upstream: Path) -> None:
    """Work committed onto our detached checkout is not left behind in silence; named, it is safe."""
    mine = commit(tree, "mine", main__c="mine")
    with pytest.raises(SourceDirty, match="no branch") as refused:
        prepare(tree, upstream, "origin/master")
    assert git(tree, "rev-parse", "HEAD") == mine

    subprocess.run(refused.value.hint.split(), check=True)
    assert prepare(tree, upstream, "origin/master").commit == git(upstream, "rev-parse", "master")
    assert git(tree, "rev-parse", "my-work") == mine


def test_a_commit_that_we_fetched_is_left_freely(tree: Path, upstream: Path) -> None:
    """A pull request's head is on no branch either, but it is nobody's work here."""
    git(upstream, "checkout", "--quiet", "--detach")
    pulled = commit(upstream, "a pull request", main__c="pulled")
    git(upstream, "update-ref", "refs/pull/9/head", pulled)

    assert prepare(tree, upstream, "refs/pull/9/head").commit == pulled
    assert prepare(tree, upstream, "v1").commit == git(upstream, "rev-parse", "v1")


def test_a_tree_already_there_is_not_touched(tree: Path, upstream: Path) -> None:
    """At the ref's commit edits are what one wants to build."""
    (tree / "main.c").write_text("mine")
    (tree / "library" / "lib.c").write_text("mine")
    before = everything(tree)

    assert prepare(tree, upstream, "origin/master").dirty
    assert everything(tree) == before


def test_a_checked_out_branch_of_that_name_stays(tree: Path, upstream: Path) -> None:
    """One's own branch keeps its own commits, and stays checked out."""
    git(tree, "checkout", "--quiet", "-b", "wip-fix")
    mine = commit(tree, "mine", main__c="mine")

    assert prepare(tree, upstream, "wip-fix").commit == mine
    assert git(tree, "branch", "--show-current") == "wip-fix"


def test_no_ref_means_the_tree_as_it_is(tree: Path, upstream: Path) -> None:
    """SHA1_OR_REF empty builds whatever is there."""
    mine = commit(tree, "mine", main__c="mine")
    (tree / "main.c").write_text("edited")
    assert prepare(tree, upstream, "") == source.Source(
        tree,
        commit=mine,
        dirty=True,
        ref="",
        committed="2024-05-06T05:08:09Z",
        git_url=str(upstream),
        edited=(tree / "main.c").stat().st_mtime,
    )


def test_a_folder_without_git_is_taken_as_it_is(tmp_path: Path) -> None:
    """An unpacked archive is a source too; nothing is said about its commit."""
    (tmp_path / "CMakeLists.txt").write_text("")
    taken = prepare(tmp_path, "unused", "remotes/origin/master")
    assert taken == source.Source(tmp_path, commit=None, dirty=False, ref="", committed=None)
    assert source.labels(taken) == {}


def test_a_repository_without_commits_is_taken_as_it_is(tmp_path: Path) -> None:
    """`git init` alone makes no commit to name."""
    folder = repository(tmp_path / "young")
    assert prepare(folder, "unused", "").commit is None


def test_a_worktree_is_a_source(tree: Path, upstream: Path, tmp_path: Path) -> None:
    """Its `.git` is a file, and its switches are its own."""
    git(tree, "worktree", "add", "--quiet", "--detach", str(tmp_path / "second"), "v1")
    assert prepare(tmp_path / "second", upstream, "origin/master").commit == git(
        upstream, "rev-parse", "master"
    )
    assert prepare(tmp_path / "second", upstream, "v1").commit == git(upstream, "rev-parse", "v1")
    assert (tree / "main.c").read_text() == "two"


def test_a_hooks_environment_does_not_lead_astray(
    tree: Path, upstream: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Called from a git hook, the tree that is named is the one that is switched."""
    elsewhere = repository(tmp_path / "elsewhere")
    monkeypatch.setenv("GIT_DIR", str(elsewhere / ".git"))
    assert prepare(tree, upstream, "v1").commit is not None
    monkeypatch.delenv("GIT_DIR")
    assert (tree / "main.c").read_text() == "one"


def test_a_switch_cut_short_is_finished(tree: Path, upstream: Path) -> None:
    """A submodule that could not be fetched is fetched when the same is typed again."""
    library = upstream.parent / "library"
    commit(library, "third", lib__c="three")
    git(upstream / "library", "pull", "--quiet", "origin", "master")
    later = commit(upstream, "third")
    library.rename(library.with_name("away"))
    with pytest.raises(GitFailed, match="submodules") as failed:
        prepare(tree, upstream, later)
    assert "submodule update" in failed.value.hint

    library.with_name("away").rename(library)
    assert prepare(tree, upstream, later).commit == later
    assert (tree / "library" / "lib.c").read_text() == "three"


@pytest.mark.parametrize("ref", ["v1", ""])
def test_a_repository_that_is_not_there_fails(tmp_path: Path, ref: str) -> None:
    """The error names the address and how to try it."""
    with pytest.raises(CloneFailed, match="nowhere") as failed:
        prepare(tmp_path / "ceph", f"file://{tmp_path}/nowhere", ref)
    assert failed.value.hint == f"git ls-remote file://{tmp_path}/nowhere"
    assert not (tmp_path / "ceph").exists()


def test_an_unknown_ref_is_found_before_cloning(upstream: Path, tmp_path: Path) -> None:
    """A misspelt branch does not cost a clone."""
    said: list[bytes] = []
    with pytest.raises(RefUnknown, match="mastre"):
        source.prepare(tmp_path / "ceph", str(upstream), "remotes/origin/mastre", said.append)
    assert said == []
    assert not (tmp_path / "ceph").exists()


@pytest.mark.parametrize("ref", ["mastre", "0123456789012345678901234567890123456789", "--detach"])
def test_an_unknown_ref_changes_nothing(tree: Path, upstream: Path, ref: str) -> None:
    """The tree stays where it is, and the hint lists what there is."""
    before = everything(tree), git(tree, "rev-parse", "HEAD")
    with pytest.raises(RefUnknown, match=ref):
        prepare(tree, upstream, ref)
    assert (everything(tree), git(tree, "rev-parse", "HEAD")) == before


def test_an_unknown_commit_fails_a_clone(upstream: Path, tmp_path: Path) -> None:
    """The far side cannot be asked for a commit beforehand; still nothing is left."""
    with pytest.raises(RefUnknown, match="01234567"):
        prepare(tmp_path / "ceph", upstream, "0123456789012345678901234567890123456789")
    assert not (tmp_path / "ceph").exists()


def test_a_dry_run_tells_what_git_would_do(
    tree: Path, upstream: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither a clone nor a switch is made; the lines that are told do just that when typed."""
    fresh = tmp_path / "fresh"
    for folder in (fresh, tree):
        source.prepare(folder, str(upstream), "v1", lambda chunk: None, dry=True)
    assert not fresh.exists()
    assert (tree / "main.c").read_text() == "two"

    for line in capsys.readouterr().err.splitlines():
        subprocess.run(shlex.split(line), check=True, capture_output=True)
    assert {(folder / "main.c").read_text() for folder in (fresh, tree)} == {"one"}


def test_a_file_is_no_source(tmp_path: Path) -> None:
    """SOURCE_DIR naming a file is a wrong setting."""
    (tmp_path / "ceph").write_text("")
    with pytest.raises(SourceNotFolder):
        prepare(tmp_path / "ceph", "unused", "v1")


def test_missing_git_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without git on PATH nothing is attempted."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GitMissing):
        prepare(tmp_path / "ceph", "unused", "v1")
    assert not (tmp_path / "ceph").exists()


def test_credentials_in_a_url_are_refused(tmp_path: Path) -> None:
    """They would be seen in process lists and logs; the message does not repeat them."""
    with pytest.raises(GitUrlInvalid) as refused:
        prepare(tmp_path / "ceph", "https://me:word@example.com/ceph.git", "v1")
    assert "word" not in str(refused.value)
    assert not (tmp_path / "ceph").exists()


def test_labels_name_commit_origin_and_state(tree: Path, upstream: Path) -> None:
    """An image says what it was made from; a password of the remote does not get there."""
    git(tree, "remote", "set-url", "origin", "https://me:word@example.com/ceph.git")
    (tree / "main.c").write_text("mine")
    assert source.labels(source.describe(tree)) == {
        "org.opencontainers.image.revision": git(upstream, "rev-parse", "master"),
        "org.opencontainers.image.source": "https://example.com/ceph.git",
        "cephtasks.source.dirty": "true",
    }


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://token@example.com/ceph.git", "https://example.com/ceph.git"),
        ("https://example.com:8443/ceph.git", "https://example.com:8443/ceph.git"),
        ("ssh://git:word@example.com:22/ceph", "ssh://git@example.com:22/ceph"),
        ("git@example.com:ceph.git", "git@example.com:ceph.git"),
        ("../ceph", "../ceph"),
    ],
)
def test_urls_lose_only_their_secrets(url: str, kept: str) -> None:
    """A user of ssh is part of the address."""
    assert source.without_credentials(url) == kept


@pytest.fixture
def owned_by_another() -> Iterator[Path]:
    """A folder that everyone can reach and that user 4711 owns."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        shutil.chown(folder, 4711, 4711)
        yield Path(folder)


def test_root_leaves_no_root_owned_files(owned_by_another: Path) -> None:
    """Under sudo, clone and switch write as the folder's owner."""
    upstream = repository(owned_by_another / "upstream")
    commit(upstream, "first", main__c="one")
    git(upstream, "tag", "v1")
    commit(upstream, "second", main__c="two")
    subprocess.run(["chown", "--recursive", "4711:4711", str(upstream)], check=True)

    prepare(owned_by_another / "ceph", upstream, "origin/master")
    prepare(owned_by_another / "ceph", upstream, "v1")
    tree = owned_by_another / "ceph"
    assert {path.lstat().st_uid for path in [tree, *tree.rglob("*")]} == {4711}


def test_ctrl_c_during_a_clone_leaves_nothing(upstream: Path, tmp_path: Path) -> None:
    """Interrupted in the middle, the folder is as missing as before, and the same clone works next."""
    # An ssh that answers which refs there are, hangs when it comes to sending them, and will not end.
    slow = tmp_path / "slow-ssh"
    slow.write_text(
        f'#!/bin/sh\n[ -e "$0.asked" ] || {{ touch "$0.asked"; exec git upload-pack {upstream}; }}\n'
        'trap "" INT TERM\ntouch "$0.started"\nsleep 60\n'
    )
    slow.chmod(0o755)
    environment = {
        **os.environ,
        "GIT_ALLOW_PROTOCOL": "ssh",
        "GIT_SSH": str(slow),
        "GIT_SSH_VARIANT": "simple",
    }
    program = (
        "import sys; from pathlib import Path; from cephtasks import source\n"
        "source.prepare(Path(sys.argv[1]), sys.argv[2], '', sys.stderr.buffer.write)"
    )
    folder = tmp_path / "new" / "ceph"
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(folder), "ssh://far.example/ceph"],
        env=environment,
        start_new_session=True,
        stderr=subprocess.PIPE,
    )
    try:
        deadline = time.monotonic() + 20
        while not Path(f"{slow}.started").exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=20)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert process.returncode not in (0, -signal.SIGKILL)
    assert list(folder.parent.iterdir()) == []
    assert prepare(folder, upstream, "v1").commit == git(upstream, "rev-parse", "v1")


# Contents that no commit has: what a commit holds is not lost with the file.
_WORK = st.fixed_dictionaries(
    {},
    optional={
        "main.c": st.sampled_from(["mine", "mine too"]),
        "other.c": st.sampled_from(["mine", "mine too"]),
        "new.c": st.just("mine"),
        "trace.log": st.just("mine"),
        "library/lib.c": st.sampled_from(["mine", "mine too"]),
        "library/new.c": st.just("mine"),
    },
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    work=_WORK,
    staged=st.booleans(),
    refs=st.lists(st.sampled_from(["v1", "origin/master", "logs"]), max_size=3),
)
def test_no_switch_ever_discards_work(
    upstream: Path, tree: Path, work: dict[str, str], staged: bool, refs: list[str]
) -> None:
    """Whatever was written stays, byte for byte, through any series of switches, allowed or refused."""
    if not git(upstream, "tag", "--list", "logs"):
        (upstream / "trace.log").write_text("theirs")
        git(upstream, "add", "--force", "trace.log")
        commit(upstream, "logs", new__c="theirs")
        git(upstream, "tag", "logs")
        git(upstream, "reset", "--hard", "--quiet", "HEAD~1")
        git(tree, "fetch", "--quiet", "--tags", "origin")
    git(tree, "checkout", "--force", "--quiet", "--detach", "origin/master")
    git(tree, "clean", "-fdxq")
    git(tree, "submodule", "--quiet", "update", "--force")
    git(tree / "library", "clean", "-fdxq")
    original = everything(tree)
    for name, text in work.items():
        (tree / name).write_text(text)
    written = {name: text.encode() for name, text in work.items() if original.get(name) != text.encode()}
    if staged:
        git(tree, "add", "--all")

    for ref in refs:
        try:
            prepare(tree, upstream, ref)
        except SourceDirty:
            continue
    assert {name: everything(tree).get(name) for name in written} == written
