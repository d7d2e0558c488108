"""Git: the git command in one folder, asked or run, as the folder's owner."""

import os
import pwd
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cephtasks.errors import GitFailed, GitMissing

OnOutput = Callable[[bytes], None]

# A hook or alias that called us sets these; they would lead git away from the folder it is given.
_FOREIGN = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_PREFIX")
_CHUNK = 65536
_PATIENCE = 10.0  # seconds that git gets to clear up


def progress() -> tuple[str, ...]:
    """The option that makes git show its progress on a terminal, and in a pipe no more than what fails."""
    return ("--progress",) if sys.stderr.isatty() else ("--quiet",)


@dataclass(frozen=True)
class Ended:
    """How a git command ended, and what it said."""

    exit_code: int
    output: str

    @property
    def reason(self) -> str:
        """The line that tells why it failed."""
        lines = [line.strip() for line in re.split(r"[\r\n]+", self.output) if line.strip()]
        telling = [line for line in lines if line.startswith(("fatal:", "error:"))]
        return (telling or lines or ["git said nothing"])[-1]


@dataclass(frozen=True)
class Git:
    """The git command in one folder; root runs it as the folder's owner, leaving nothing of its own there."""

    folder: Path
    on_output: OnOutput = lambda _: None

    def ask(self, *arguments: str) -> str | None:
        """What git prints, or None where its answer is no. Raises GitMissing, GitFailed."""
        done = subprocess.run(
            self._command("--no-optional-locks", *arguments),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            **self._as_owner(),
        )
        if b"dubious ownership" in done.stderr:
            raise GitFailed(
                f"git does not trust {self.folder}, which another user owns",
                f"git config --global --add safe.directory {self.folder.resolve()}",
            )
        return os.fsdecode(done.stdout).rstrip("\n") if done.returncode == 0 else None

    def read(self, *arguments: str) -> str:
        """What git prints. Raises GitMissing, GitFailed."""
        answer = self.ask(*arguments)
        if answer is None:
            command = f"git -C {self.folder} {' '.join(arguments)}"
            raise GitFailed(f"git {arguments[0]} failed in {self.folder}", command)
        return answer

    def resolve(self, ref: str) -> str | None:
        """The commit that a ref names, or None."""
        return self.ask("rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}")

    def run(self, *arguments: str, whole: bool = False) -> Ended:
        """Run git with its output streamed; a `whole` one ends its work even when Ctrl-C is pressed."""
        process = subprocess.Popen(
            self._command(*arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            process_group=0 if whole else None,
            **self._as_owner(),
        )
        assert process.stdout is not None  # noqa: S101 — of the pipe asked for above
        said = bytearray()
        with process:
            try:
                while chunk := os.read(process.stdout.fileno(), _CHUNK):
                    said += chunk
                    self.on_output(chunk)
            except BaseException:
                if whole:
                    process.communicate()
                else:
                    _end(process)
                raise
        return Ended(process.returncode, os.fsdecode(bytes(said)))

    def _command(self, *arguments: str) -> list[str]:
        if shutil.which("git") is None:
            raise GitMissing("git is not installed", "sudo apt-get install git")
        unset = [f"--unset={name}" for name in _FOREIGN]
        home = [f"HOME={_home(owner[0])}"] if (owner := self._owner()) else []
        folder = str(self.folder.resolve())
        return ["env", *unset, *home, "GIT_TERMINAL_PROMPT=0", "LC_ALL=C", "git", "-C", folder, *arguments]

    def _owner(self) -> tuple[int, int] | None:
        """User and group to become: only root can, and only another owner's folder asks for it."""
        folder = self.folder.stat()
        return (folder.st_uid, folder.st_gid) if os.getuid() == 0 != folder.st_uid else None

    def _as_owner(self) -> dict[str, Any]:
        owner = self._owner()
        return {"user": owner[0], "group": owner[1], "extra_groups": []} if owner else {}


def _end(process: subprocess.Popen[bytes]) -> None:
    """End git itself. Its output is not read to the end: an ssh that it left behind may hold that open."""
    process.terminate()
    try:
        process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _home(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_dir
    except KeyError:
        return "/"
