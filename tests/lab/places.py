"""Places: an engine, a store, and registries reached without a login."""

from cephtasks.engine import Engine
from cephtasks.intake import Places
from cephtasks.registry import Client
from cephtasks.store import Store


def places(engine: Engine, store: Store) -> Places:
    """Where a test's images are."""
    return Places(store, Client, engine)
