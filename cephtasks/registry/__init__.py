"""Registry: the one edge to HTTP, for any registry that speaks distribution's API, version 2.

API: https://github.com/opencontainers/distribution-spec/blob/main/spec.md
"""

from cephtasks.registry.address import is_loopback
from cephtasks.registry.catalog import catalog
from cephtasks.registry.contents import Contents, contents
from cephtasks.registry.copying import Copied, copy
from cephtasks.registry.deletion import delete_digest, delete_tag
from cephtasks.registry.documents import has
from cephtasks.registry.downloads import download, ranges
from cephtasks.registry.housekeeping import carry_out, plan_prune
from cephtasks.registry.images import read
from cephtasks.registry.inspection import Inspected, inspect
from cephtasks.registry.pruning import Prune
from cephtasks.registry.push import Pushed, PushedLayer, missing, push
from cephtasks.registry.tags import require_tags, tags, tags_of
from cephtasks.registry.transport import Client
from cephtasks.registry.uploads import OnProgress, OpenBlob
from cephtasks.registry.usage import Usage, usage

__all__ = [
    "Client",
    "Contents",
    "Copied",
    "Inspected",
    "OnProgress",
    "OpenBlob",
    "Prune",
    "Pushed",
    "PushedLayer",
    "Usage",
    "carry_out",
    "catalog",
    "contents",
    "copy",
    "delete_digest",
    "delete_tag",
    "download",
    "has",
    "inspect",
    "is_loopback",
    "missing",
    "plan_prune",
    "push",
    "ranges",
    "read",
    "require_tags",
    "tags",
    "tags_of",
    "usage",
]
