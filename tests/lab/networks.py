"""Networks: one of a test's own, without a way out, where a registry has an address that is not loopback."""

import itertools
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ADDRESS = "198.51.100.7"  # of those that RFC 5737 keeps for documentation
_numbers = itertools.count()


@dataclass(frozen=True)
class Network:
    """A network, and the folder that is /etc/docker for whoever is in it."""

    name: str
    docker: Path

    def within(self, command: Sequence[str]) -> list[str]:
        """The command as it runs in the network."""
        bind = 'mount --bind "$0" /etc/docker && exec "$@"'
        # `ip netns exec` would hide the cgroups, without which no engine starts.
        enter = ["nsenter", f"--net=/run/netns/{self.name}", "unshare", "--mount"]
        return [*enter, "sh", "-c", bind, str(self.docker), *command]

    def answers(self, port: int) -> bool:
        """Whether something listens at a port of ADDRESS."""
        knock = ["bash", "-c", f"</dev/tcp/{ADDRESS}/{port}"]
        return subprocess.run(self.within(knock), check=False, stderr=subprocess.DEVNULL).returncode == 0


@contextmanager
def network(folder: Path) -> Iterator[Network]:
    """Make a network that lasts as long as the block; root and Linux only."""
    folder.mkdir(parents=True)
    Path("/etc/docker").mkdir(exist_ok=True)
    name = f"ct{os.getpid()}n{next(_numbers)}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        made = Network(name, folder)
        for words in (["link", "set", "lo", "up"], ["addr", "add", f"{ADDRESS}/32", "dev", "lo"]):
            subprocess.run(made.within(["ip", *words]), check=True)
        yield made
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)
