"""Registry: the one edge to HTTP, for any registry that speaks distribution's API, version 2.

API: https://github.com/opencontainers/distribution-spec/blob/main/spec.md
"""

from cephtasks.registry.address import is_loopback
from cephtasks.registry.catalog import catalog
from cephtasks.registry.contents import Contents, contents
from cephtasks.registry.downloads import download, ranges
from cephtasks.registry.images import read
from cephtasks.registry.inspection import Inspected, inspect
from cephtasks.registry.push import Pushed, PushedLayer, missing, push
from cephtasks.registry.tags import require_tags, tags, tags_of
from cephtasks.registry.transport import Client
from cephtasks.registry.uploads import OnProgress, OpenBlob
from cephtasks.registry.usage import Usage, usage

__all__ = [
    "Client",
    "Contents",
    "Inspected",
    "OnProgress",
    "OpenBlob",
    "Pushed",
    "PushedLayer",
    "Usage",
    "catalog",
    "contents",
    "download",
    "inspect",
    "is_loopback",
    "missing",
    "push",
    "ranges",
    "read",
    "require_tags",
    "tags",
    "tags_of",
    "usage",
]
