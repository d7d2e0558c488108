"""Access: see whether the engines of nodes can pull from a registry, and give them the CA that they lack."""

import threading
from enum import StrEnum

from cephtasks.engine import Engine
from cephtasks.errors import PullNotTrusted
from cephtasks.node_list import Node
from cephtasks.nodes.fleet import Fleet, Outcome
from cephtasks.reference import Reference

CERTS_FOLDER = "/etc/docker/certs.d"  # read at each pull, so no engine has to be started again


class Access(StrEnum):
    """How a node can pull."""

    READY = "ready"
    GOT_CA = "got the CA"


def set_up(fleet: Fleet, wanted: Reference, ca: bytes) -> list[Outcome[Access]]:
    """Have every engine ask the registry, in whose name it is known; one that cannot pull has failed.

    An engine that does not know the CA gets `ca`, its certificate in PEM, where that is not empty.
    """

    def act(node: Node, engine: Engine, stop: threading.Event) -> Access:
        try:
            engine.reach(str(wanted))
        except PullNotTrusted:
            if not ca:
                raise
            engine.put_on_host(CERTS_FOLDER, f"{wanted.registry}/ca.crt", ca)
            if not fleet.dry:
                engine.reach(str(wanted))
            return Access.GOT_CA
        return Access.READY

    return fleet.visit(act)
