"""Session: what one typed task works with, opened when it is first used and closed with the task."""

from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from cephtasks.settings import Settings

if TYPE_CHECKING:  # loading these takes longer than `invoke --list` should
    from cephtasks.engine import Engine
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

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *exception: object) -> None:
        self._open.close()

    @cached_property
    def engine(self) -> "Engine":
        """The Docker engine; raises EngineUnreachable."""
        from cephtasks.engine import Engine

        engine = Engine.connect(self.dry, self._echo)
        self._open.callback(engine.close)
        return engine

    @cached_property
    def store(self) -> "Store":
        """The images of STATE_DIR."""
        from cephtasks.store import Store

        return Store(self.settings.state_dir / "images")

    def registry(self, host: str = "") -> "Client":
        """A registry, REGISTRY unless another host is named; raises RegistryCaInvalid."""
        from cephtasks.engine import credentials
        from cephtasks.registry import Client

        return self._open.enter_context(
            Client(
                host or self.settings.registry,
                self.settings.registry_ca,
                self.settings.registry_insecure,
                credentials,
                self.dry,
                self._echo,
            )
        )
