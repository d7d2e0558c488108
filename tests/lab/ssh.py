"""Ssh: a server of a test's own, and an `ssh` that it lets in."""

import getpass
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab.processes import answers, free_port, serving


@dataclass(frozen=True)
class Host:
    """This machine behind ssh: its URL, and the PATH on which that `ssh` is found."""

    url: str
    path: str


@contextmanager
def host(folder: Path, line: str = "") -> Iterator[Host]:
    """Start an sshd, with one more line in its configuration; keys and logs go into `folder`."""
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    port = free_port()
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nPidFile none\n"
        f"AuthorizedKeysFile {folder}/user.pub\nStrictModes no\nUsePAM no\n{line}\n"
    )
    (folder / "ssh_config").write_text(
        f"IdentityFile {folder}/user\nUserKnownHostsFile {folder}/known\nStrictHostKeyChecking accept-new\n"
    )
    ssh = folder / "bin" / "ssh"
    ssh.parent.mkdir()
    ssh.write_text(f'#!/bin/sh\nexec /usr/bin/ssh -F {folder}/ssh_config "$@"\n')
    ssh.chmod(0o755)
    Path("/run/sshd").mkdir(exist_ok=True)
    command = ["/usr/sbin/sshd", "-D", "-e", "-f", f"{folder}/sshd_config"]
    with serving(command, folder / "log", lambda: answers(port)):
        yield Host(f"ssh://{getpass.getuser()}@127.0.0.1:{port}", f"{ssh.parent}:{os.environ['PATH']}")
