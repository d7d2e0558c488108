"""Fleet: do the same on many nodes at once, and collect what became of each."""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

from cephtasks import console
from cephtasks.engine import CERTIFICATES, Engine
from cephtasks.errors import (
    CephtasksError,
    EngineNotTrusted,
    EngineRefused,
    EngineUnreachable,
    NodesFailed,
    PullFailed,
    SettingsInvalid,
)
from cephtasks.jobs import run_all
from cephtasks.node_list import Node, named
from cephtasks.registry import is_loopback
from cephtasks.settings import Settings

_PAUSES = (1.0, 4.0)  # seconds before those that failed are asked again
_PIONEERS = 3  # nodes that go first, each alone, until one of them is well
_GRACE = 10.0  # seconds at most that nodes get to take containers away, after Ctrl-C

Result = TypeVar("Result")
Act = Callable[[Node, Engine, threading.Event], Result]


@dataclass(frozen=True)
class Outcome(Generic[Result]):
    """What became of one node: a result, or the error; `seconds` of the last attempt, connecting included."""

    node: Node
    seconds: float
    result: Result | None = None
    error: CephtasksError | None = None
    attempts: int = 1

    def document(self) -> dict[str, Any]:
        """The outcome as `--json` prints it, without the result."""
        return {
            "node": self.node.name,
            "ok": self.error is None,
            "error": self.error.fact if self.error else None,
            "seconds": round(self.seconds, 3),
            "attempts": self.attempts,
        }


OnEnd = Callable[[Outcome[Any]], None]


@dataclass(frozen=True)
class Fleet:
    """The nodes of a cluster, how their engines are reached, and how many at once."""

    nodes: Sequence[Node]
    at_once: int
    certificates: Path
    dry: bool = False
    echo: bool = False

    def visit(self, act: Act[Result]) -> list[Outcome[Result]]:
        """What became of each node, in their order."""
        return run_all([partial(self._attend, node, act) for node in self.nodes], self.at_once, _GRACE)

    def send(self, act: Act[Result], on_end: OnEnd) -> list[Outcome[Result]]:
        """The same for what loads a registry: one node first, and again what may pass.

        `on_end` is told of each as it ends. The first node fills the mirrors that stand between. Where it
        fails the next one goes first, but after a few of them the others go too: what is wrong with some
        need not be wrong with all.
        """
        ended: dict[Node, Outcome[Result]] = {}
        for node in self.nodes[:_PIONEERS]:
            ended |= _by_node(self._told([node], act, on_end))
            if ended[node].error is None:
                break
        rest = [node for node in self.nodes if node not in ended]
        ended |= _by_node(self._told(rest, act, on_end))
        for attempt, pause in enumerate(_PAUSES, start=2):
            again = [node for node in self.nodes if _may_pass(ended[node].error)]
            if not again:
                break
            console.say(f"trying again in {pause:.0f} s: {named(again)}")
            time.sleep(pause)
            for outcome in self._told(again, act, on_end):
                ended[outcome.node] = replace(outcome, attempts=attempt)
        return [ended[node] for node in self.nodes]

    def strangers_to(self, registry: str) -> tuple[Node, ...]:
        """The nodes on other hosts, for whom a registry at localhost is not the one that is meant."""
        others = (node for node in self.nodes if node.host and not is_loopback(node.host))
        return tuple(others) if is_loopback(registry) else ()

    def _told(self, nodes: Iterable[Node], act: Act[Result], on_end: OnEnd) -> list[Outcome[Result]]:
        def attend(node: Node, stop: threading.Event) -> Outcome[Result]:
            outcome = self._attend(node, act, stop)
            on_end(outcome)
            return outcome

        return run_all([partial(attend, node) for node in nodes], self.at_once)

    def _attend(self, node: Node, act: Act[Result], stop: threading.Event) -> Outcome[Result]:
        started = time.monotonic()
        try:
            engine = Engine.connect(self.dry, self.echo, node.url, certificates_of(node, self.certificates))
            try:
                result = act(node, engine, stop)
            finally:
                engine.close()
            return Outcome(node, time.monotonic() - started, result)
        except CephtasksError as error:
            return Outcome(node, time.monotonic() - started, error=error)


def fleet(settings: Settings, dry: bool = False, echo: bool = False) -> Fleet:
    """The nodes that NODES names; raises SettingsInvalid where that is none, or certificates are missing."""
    if not settings.nodes:
        raise SettingsInvalid(["NODES names no node"], "NODES='node[01-16]' in .env, or --nodes")
    made = Fleet(settings.nodes, settings.at_once, settings.nodes_certs, dry, echo)
    faults = [
        f"{node} needs {file}, which is not there"
        for node in made.nodes
        if (folder := certificates_of(node, made.certificates))
        for file in (folder / name for name in CERTIFICATES)
        if not file.is_file()
    ]
    if faults:
        raise SettingsInvalid(faults, "put them there, or set NODES_CERTS")
    return made


def certificates_of(node: Node, folder: Path) -> Path | None:
    """The folder with the certificates for a node behind TLS: HOST in NODES_CERTS, or else that itself."""
    if not node.url.startswith("tcp://"):
        return None
    own = folder / node.host
    return own if own.is_dir() else folder


def require_all(outcomes: Sequence[Outcome[Any]], hint: str = "") -> None:
    """Raise NodesFailed where a node failed; the hint is that of the first, unless another is given."""
    errors = {outcome.node: outcome.error for outcome in outcomes if outcome.error}
    if errors:
        fact = f"{len(errors)} of {len(outcomes)} nodes failed: {named([*errors])}"
        raise NodesFailed(fact, hint or next(iter(errors.values())).hint)


def _by_node(outcomes: Iterable[Outcome[Result]]) -> dict[Node, Outcome[Result]]:
    return {outcome.node: outcome for outcome in outcomes}


def _may_pass(error: CephtasksError | None) -> bool:
    if type(error) is PullFailed:  # those below it have a reason that stays
        return True
    return isinstance(error, EngineUnreachable | EngineRefused) and not isinstance(error, EngineNotTrusted)
