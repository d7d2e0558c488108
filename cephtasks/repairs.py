"""Repairs: write down in an image's label which files were added to it, and where they come from.

So the next image keeps them, each as the build has it by then.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

LABEL = "cephtasks.repaired"


@dataclass(frozen=True)
class Repairs:
    """Files by their path in the image, from paths in the source tree; and links, to their targets."""

    files: Mapping[str, str] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)

    def __or__(self, other: "Repairs") -> "Repairs":
        return Repairs({**self.files, **other.files}, {**self.links, **other.links})

    def without(self, paths: frozenset[str]) -> "Repairs":
        """Without what lies at some paths of the image, and without links to that."""
        files = {path: source for path, source in self.files.items() if path not in paths}
        links = {
            path: target
            for path, target in self.links.items()
            if path not in paths and _beside(path, target) in files
        }
        return Repairs(files, links)

    def labels(self) -> dict[str, str]:
        """The label that says so, or none where there is nothing to say."""
        if not self.files:
            return {}
        document = {"files": dict(self.files), "links": dict(self.links)}
        return {LABEL: json.dumps(document, sort_keys=True, separators=(",", ":"))}


def read(labels: Mapping[str, str]) -> Repairs:
    """What an image's labels say of repairs; what cannot be read says nothing."""
    try:
        document = json.loads(labels.get(LABEL, "{}"))
        return Repairs(_texts(document.get("files", {})), _texts(document.get("links", {})))
    except (ValueError, TypeError, AttributeError):
        return Repairs()


def _texts(document: Mapping[object, object]) -> dict[str, str]:
    return {str(name): str(value) for name, value in document.items()}


def _beside(path: str, target: str) -> str:
    return f"{path.rpartition('/')[0]}/{target}"
