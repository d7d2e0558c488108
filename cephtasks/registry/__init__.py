"""Registry: the one edge to HTTP, for any registry that speaks distribution's API, version 2.

What few need is not here; they import its module.
API: https://github.com/opencontainers/distribution-spec/blob/main/spec.md
"""

from importlib import import_module
from typing import TYPE_CHECKING

from cephtasks.registry.address import is_loopback
from cephtasks.registry.catalog import catalog
from cephtasks.registry.transport import Client

if TYPE_CHECKING:
    from cephtasks.registry.downloads import download, ranges
    from cephtasks.registry.images import read, resolve
    from cephtasks.registry.pushing import Pushed, PushedLayer, missing, push
    from cephtasks.registry.uploads import OnProgress, OpenBlob
else:
    # Loaded when they are first asked for: a catalog is printed sooner than all this is loaded.
    _HOMES = {
        **dict.fromkeys(("download", "ranges"), "downloads"),
        **dict.fromkeys(("read", "resolve"), "images"),
        **dict.fromkeys(("Pushed", "PushedLayer", "missing", "push"), "pushing"),
        **dict.fromkeys(("OnProgress", "OpenBlob"), "uploads"),
    }

    def __getattr__(name: str) -> object:
        """Load what is asked for; raises AttributeError."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


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
    "resolve",
]
