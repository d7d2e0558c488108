"""Repositories: real git repositories for tests, committed to by nobody in particular."""

import os
import subprocess
from pathlib import Path

ENVIRONMENT = {
    **{f"GIT_{who}_NAME": "A Tester" for who in ("AUTHOR", "COMMITTER")},
    **{f"GIT_{who}_EMAIL": "tester@example.com" for who in ("AUTHOR", "COMMITTER")},
    **{f"GIT_{who}_DATE": "2024-05-06T07:08:09+02:00" for who in ("AUTHOR", "COMMITTER")},
    "GIT_ALLOW_PROTOCOL": "file",  # submodules on local paths need leave
    "GIT_CONFIG_GLOBAL": os.devnull,  # no user's settings
}


def git(folder: Path, *arguments: str) -> str:
    """Run git as the test's own user and give what it prints."""
    return subprocess.run(
        ["git", "-C", str(folder), *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


def commit(folder: Path, message: str, **files: str) -> str:
    """Write files (`__` in a name is a dot), commit them, and give the commit."""
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", message)
    return git(folder, "rev-parse", "HEAD")


def repository(folder: Path) -> Path:
    """An empty repository with a branch master."""
    folder.mkdir(parents=True)
    git(folder, "init", "--quiet", "--initial-branch=master")
    return folder


def with_submodule(folder: Path) -> Path:
    """What GIT_URL may name: two commits on master, a tag on the first, a branch, and a submodule."""
    library = repository(folder / "library")
    commit(library, "library", lib__c="one")
    made = repository(folder / "upstream")
    git(made, "submodule", "--quiet", "add", str(library), "library")
    commit(made, "first", main__c="one", other__c="one", __gitignore="build/\n*.log\n")
    git(made, "tag", "v1")
    commit(library, "library again", lib__c="two")
    git(made / "library", "pull", "--quiet", "origin", "master")
    commit(made, "second", main__c="two")
    git(made, "branch", "wip-fix", "v1")
    return made
