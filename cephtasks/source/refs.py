"""Refs: find the commit that a ref names, asking the far side only for what is unknown here."""

import re
from collections.abc import Sequence

from cephtasks import console
from cephtasks.errors import GitFailed, RefUnknown
from cephtasks.source.git import Git, progress

_SHA = re.compile(r"[0-9a-f]{7,64}")


def is_sha(ref: str) -> bool:
    """Whether a ref may be a commit, which no far side can be asked for by its name."""
    return bool(_SHA.fullmatch(_plain(ref)))


def far_name(git: Git, url: str, ref: str, remote: str = "origin") -> str | None:
    """The whole name of a ref at a URL or a remote, None where that knows none. Raises GitFailed."""
    base = _plain(ref)
    name = re.sub(rf"^(refs/)?(remotes/)?({re.escape(remote)}/)?", "", base)
    wanted = ["HEAD"] if name in ("", "HEAD") else [f"refs/{name}"]
    wanted += [f"refs/tags/{base}", f"refs/heads/{base}", f"refs/heads/{name}", f"refs/tags/{name}"]
    answer = git.ask("ls-remote", url, *sorted(set(wanted)))
    if answer is None:
        raise GitFailed("it cannot be reached")
    found = {line.partition("\t")[2] for line in answer.splitlines()}
    return next((each for each in wanted if each in found), None)


def find(git: Git, ref: str, depth: int | None) -> str:
    """The commit that a ref names; a shallow clone fetches so many commits. Raises RefUnknown, GitFailed."""
    if ref.startswith("-"):
        raise RefUnknown(f"{ref} is no commit, tag or branch", "invoke settings")
    remotes = (git.ask("remote") or "").split()
    named = re.sub(r"^(refs/)?(remotes/)?", "", ref).partition("/")[0]
    remote = next((each for each in (named, "origin", *remotes) if each in remotes), None)

    def known() -> str | None:
        return git.resolve(ref) or git.resolve(f"refs/remotes/{remote}/{ref}")

    if commit := known():
        return commit
    if remote is None:
        raise RefUnknown(f"{ref} is unknown in {git.folder}, which has no remote", _branches(git))
    shallow = git.read("rev-parse", "--is-shallow-repository") == "true"
    shallowly = (f"--depth={depth}",) if shallow and depth else ()
    fetched = git.run("fetch", *progress(), *shallowly, remote)
    commit = known()
    if commit is None and fetched.exit_code == 0:
        commit = _fetch_named(git, remote, ref, shallowly) or known()
        if commit is None and shallow:
            _deepen(git, remote, ref)
            commit = known()
    if commit:
        return commit
    why = f"; fetching failed: {fetched.reason}" if fetched.exit_code else ""
    raise RefUnknown(f"{ref} is unknown in {git.folder} and its remote {remote}{why}", _branches(git))


def _fetch_named(git: Git, remote: str, ref: str, options: Sequence[str]) -> str | None:
    """Fetch what no fetch of all branches brings: a pull request, a lone commit, or a branch of many."""
    far = far_name(git, remote, ref, remote) or ref
    kept = {
        "refs/heads/": f"+{far}:refs/remotes/{remote}/{far.removeprefix('refs/heads/')}",
        "refs/tags/": f"{far}:{far}",
    }
    wanted = next((spec for start, spec in kept.items() if far.startswith(start)), far)
    fetched = git.run("fetch", *progress(), *options, remote, wanted)
    return git.resolve("FETCH_HEAD") if fetched.exit_code == 0 and _plain(ref) == ref else None


def _deepen(git: Git, remote: str, ref: str) -> None:
    """Fetch the history that a shallow clone left out, of all branches."""
    console.say(f"{ref} is not in what was fetched of the history: fetching all of it")
    every = f"+refs/heads/*:refs/remotes/{remote}/*"
    git.run("fetch", *progress(), "--unshallow", remote, every)


def _branches(git: Git) -> str:
    return f"git -C {git.folder} branch --all"


def _plain(ref: str) -> str:
    """A ref without the steps that lead on from it, as in `master~1`, by gitrevisions(7)."""
    return re.split(r"[~^:@{]", ref)[0]
