"""Nodes: bring an image to the engines of a cluster, and see what they have."""

from cephtasks.nodes.fleet import Fleet, Outcome, fleet, require_all
from cephtasks.nodes.pulls import Pulled, Target, pull, target

__all__ = ["Fleet", "Outcome", "Pulled", "Target", "fleet", "pull", "require_all", "target"]
