"""Nodes: bring an image to the engines of a cluster, and see what they have."""

from cephtasks.nodes.access import Access, set_up
from cephtasks.nodes.checking import check
from cephtasks.nodes.fleet import Fleet, Outcome, fleet, require_all
from cephtasks.nodes.pulls import Pulled, Target, pull, target
from cephtasks.nodes.standing import Standing, look
from cephtasks.nodes.superseded import Superseded, prune

__all__ = [
    "Access",
    "Fleet",
    "Outcome",
    "Pulled",
    "Standing",
    "Superseded",
    "Target",
    "check",
    "fleet",
    "look",
    "prune",
    "pull",
    "require_all",
    "set_up",
    "target",
]
