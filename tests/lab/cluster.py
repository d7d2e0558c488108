"""Cluster: engines as nodes, one of them behind ssh and one behind TLS, as NODES names them."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab import ssh
from lab.engines import Node, node
from lab.processes import free_port
from lab.registries import certificates


@dataclass(frozen=True)
class Cluster:
    """Engines and their URLs by name; the folder for NODES_CERTS, and the PATH with the right `ssh`."""

    engines: Mapping[str, Node]
    urls: Mapping[str, str]
    certificates: Path
    path: str

    def nodes(self, *names: str) -> str:
        """NODES with some of the nodes, or all."""
        return " ".join(self.urls[name] for name in names or self.urls)


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """Start five engines: `one`, `two` and `three` on sockets, `ssh` behind ssh, `tls` behind TLS."""
    tls, port, certs = certificates(folder / "tls"), free_port(), folder / "certs"
    certs.mkdir()
    for source, name in ((tls.ca, "ca.pem"), (tls.certificate, "cert.pem"), (tls.key, "key.pem")):
        shutil.copy(source, certs / name)
    options = [f"--host=tcp://127.0.0.1:{port}", "--tlsverify", f"--tlscacert={tls.ca}"]
    options += [f"--tlscert={tls.certificate}", f"--tlskey={tls.key}"]
    with ExitStack() as started:
        engines = {
            name: started.enter_context(node(folder / name, *(options if name == "tls" else ())))
            for name in ("one", "two", "three", "ssh", "tls")
        }
        for engine in engines.values():
            started.callback(engine.process.terminate)  # all at once, as each takes a second to end
        (folder / "sshd").mkdir()
        host = started.enter_context(ssh.host(folder / "sshd"))
        urls = {name: engine.url for name, engine in engines.items()}
        urls |= {"ssh": f"{host.url}{engines['ssh'].socket}", "tls": f"tcp://localhost:{port}"}
        yield Cluster(engines, urls, certs, host.path)
