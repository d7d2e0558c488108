"""Engine: the one edge to Docker, through its SDK."""

from cephtasks.engine.capacity import Capacity
from cephtasks.engine.client import Engine, EngineImage
from cephtasks.engine.connection import CERTIFICATES
from cephtasks.engine.containers import LABEL, Mount, OnOutput, RunResult, RunSpec
from cephtasks.engine.logins import credentials
from cephtasks.engine.pulls import ALREADY_THERE, DOWNLOADING, EXTRACTING, FETCHED, OnProgress

__all__ = [
    "ALREADY_THERE",
    "CERTIFICATES",
    "DOWNLOADING",
    "EXTRACTING",
    "FETCHED",
    "LABEL",
    "Capacity",
    "Engine",
    "EngineImage",
    "Mount",
    "OnOutput",
    "OnProgress",
    "RunResult",
    "RunSpec",
    "credentials",
]
