"""Session: what one typed task works with, opened when it is first used and closed with the task."""

import shlex
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING

from cephtasks import console
from cephtasks.errors import BlobDamaged, RegistryRefused
from cephtasks.settings import Settings
from cephtasks.stages import OnEdit, Stages
from cephtasks.tasks.line import under_way

if TYPE_CHECKING:  # loading these takes longer than `invoke --list` should
    from cephtasks.engine import Engine
    from cephtasks.intake import Places, Stock
    from cephtasks.nodes import Fleet
    from cephtasks.registry import Client
    from cephtasks.store import Store


class Session:
    """The settings of a task, and the engine, the store and the registries that they name.

    `folder` is where `tasks.py` is; `dry` and `echo` are Invoke's `--dry` and `-e`.
    """

    def __init__(self, settings: Settings, folder: Path, dry: bool, echo: bool) -> None:
        self.settings = settings
        self.folder = folder
        self.dry = dry
        self._echo = echo
        self._open = ExitStack()
        self._clients: dict[str, Client] = {}

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *exception: object) -> None:
        self._open.close()

    def leave(self, wait: Callable[[], None]) -> None:
        """Let the tasks that come next begin before `wait` returns; what is open stays so till then."""
        under_way.leave(wait, self._open.pop_all())

    @cached_property
    def engine(self) -> "Engine":
        """The Docker engine, with all that was to be done in it done; raises EngineUnreachable."""
        from cephtasks.engine import Engine

        under_way.settle()
        engine = Engine.connect(self.dry, self._echo)
        self._open.callback(engine.close)
        return engine

    @cached_property
    def fleet(self) -> "Fleet":
        """The engines of NODES; raises SettingsInvalid."""
        from cephtasks import nodes

        return nodes.fleet(self.settings, self.dry, self._echo)

    @contextmanager
    def stage(self, name: str, of_another: bool = False) -> Iterator[OnEdit]:
        """Remember the block as a step of IMAGE_NAME from an edit to the nodes, unless it is `of_another`."""
        if self.dry or of_another:
            yield lambda at: None
            return
        with self.stages.timed(self.settings.image_name, name) as edited:
            yield edited

    @cached_property
    def stages(self) -> Stages:
        """The steps that were taken so far."""
        return Stages(self.settings.state_dir / "stages.json")

    @cached_property
    def store(self) -> "Store":
        """The images of STATE_DIR; what they lack is fetched from the registry that has it."""
        from cephtasks.store import Store

        return Store(self.settings.state_dir / "images", self._fetch)

    @cached_property
    def places(self) -> "Places":
        """Where images are: the engine, the store, and registries."""
        from cephtasks.intake import Places

        return Places(self.store, self.registry, self.engine)

    @property
    def stock(self) -> "Stock":
        """Where images are read: the store, and registries."""
        from cephtasks.intake import Stock

        return Stock(self.store, self.registry)

    def _fetch(self, origin: str, digest: str, size: int, sink: IO[bytes]) -> None:
        """Get a blob from the registry and repository where it can be had."""
        from cephtasks import registry
        from cephtasks.oci import Descriptor

        host, _, repository = origin.partition("/")
        console.say(f"fetching {console.size(size)} from {origin}")
        try:
            registry.download(self.registry(host), repository, Descriptor("", digest, size), sink)
        except RegistryRefused as error:
            images = self.settings.state_dir / "images"
            again = f"rm -r {shlex.quote(str(images))}; invoke fetch-base pack"
            raise BlobDamaged(f"{origin} no longer has what it had: {error.fact}", again) from error

    def registry(self, host: str = "") -> "Client":
        """A registry, REGISTRY unless another host is named; raises RegistryCaInvalid.

        The CA of one that `registry.up` started is known.
        """
        from cephtasks.registry import Client

        host = host or self.settings.registry
        if host not in self._clients:
            chosen = self.settings
            client = Client(
                host, self.ca_of(host), chosen.registry_insecure, _credentials, self.dry, self._echo
            )
            self._clients[host] = self._open.enter_context(client)
        return self._clients[host]

    def ca_of(self, host: str) -> Path | None:
        """The file with the CA of a registry: of the one that `registry.up` started, or else REGISTRY_CA."""
        from cephtasks.local_registry.folder import RegistryFolder

        return RegistryFolder.of(self.settings.state_dir).ca_for(host) or self.settings.registry_ca


def _credentials(host: str) -> tuple[str, str] | None:
    """The login of a registry; looking one up takes Docker's SDK, which most registries are read without."""
    from cephtasks.engine import credentials

    return credentials(host)
