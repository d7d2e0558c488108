"""Registry: the one edge to HTTP, for any registry that speaks distribution's API, version 2.

API: https://github.com/opencontainers/distribution-spec/blob/main/spec.md
"""

from cephtasks.registry.address import is_loopback
from cephtasks.registry.blobs import OnProgress, OpenBlob
from cephtasks.registry.catalog import catalog
from cephtasks.registry.downloads import download, ranges
from cephtasks.registry.fanout import each
from cephtasks.registry.images import read
from cephtasks.registry.push import Pushed, PushedLayer, missing, push
from cephtasks.registry.tags import tags
from cephtasks.registry.transport import Client

__all__ = [
    "Client",
    "OnProgress",
    "OpenBlob",
    "Pushed",
    "PushedLayer",
    "catalog",
    "download",
    "each",
    "is_loopback",
    "missing",
    "push",
    "ranges",
    "read",
    "tags",
]
