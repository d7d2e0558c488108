"""Sharing: let one process run all tests that change this machine's engine, where several run tests.

What happens to the engine's images then has one cause. All other tests keep to what is their own, or only run
containers of an image that bootstrap made.
"""

import re
from functools import cache
from pathlib import Path

from xdist.scheduler import LoadScopeScheduling

# Every argument has a type, so a test of a fixture that leads to the engine names it in just this way.
_OF_THE_ENGINE = re.compile(r'\b(?:engine: Engine|cluster: Cluster|(?:image_name|tiny): str)\b|"engine"')


class Scheduler(LoadScopeScheduling):  # type: ignore[misc]  # it has no types
    """Keeps the tests of a file together, and with them those of all files that share the engine."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "the engine" if shares_engine(self.config.rootpath / file) else file


@cache
def shares_engine(file: Path) -> bool:
    """Whether a test of this file uses this machine's engine, or the nodes that are started but once."""
    return _OF_THE_ENGINE.search(file.read_text()) is not None
