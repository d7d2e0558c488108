"""Registry: the one edge to HTTP, for any registry that speaks distribution's API, version 2.

What few need is not loaded here; they import its module.
API: https://github.com/opencontainers/distribution-spec/blob/main/spec.md
"""

from cephtasks.registry.address import is_loopback
from cephtasks.registry.catalog import catalog
from cephtasks.registry.downloads import download, ranges
from cephtasks.registry.images import read
from cephtasks.registry.push import Pushed, PushedLayer, missing, push
from cephtasks.registry.transport import Client
from cephtasks.registry.uploads import OnProgress, OpenBlob

__all__ = [
    "Client",
    "OnProgress",
    "OpenBlob",
    "Pushed",
    "PushedLayer",
    "catalog",
    "download",
    "is_loopback",
    "missing",
    "push",
    "ranges",
    "read",
]
