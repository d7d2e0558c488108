"""Usage: what is wrong with a setting or an argument, found before anything was started or changed."""

from collections.abc import Sequence

from cephtasks.errors.base import CephtasksError


class UsageError(CephtasksError):
    """A setting or an argument is wrong; found before anything was started or changed."""

    exit_code = 2


class SettingsInvalid(UsageError):
    """One or more settings are wrong; every fault has its own line."""

    def __init__(self, faults: Sequence[str], hint: str) -> None:
        super().__init__(faults[0], hint)
        self.faults = tuple(faults)
        self.message = self._text(faults, hint)


class EnvFileNotFound(UsageError):
    """The `.env` file that was named does not exist."""


class EnvFileUnreadable(UsageError):
    """The `.env` file cannot be read, or is no text."""


class ReferenceInvalid(UsageError):
    """A string is not a reference by distribution's grammar."""


class SourceNotFolder(UsageError):
    """SOURCE_DIR names something that is not a folder."""


class GitUrlInvalid(UsageError):
    """GIT_URL cannot be used as it is written."""


class BuildArgumentInvalid(UsageError):
    """BUILD_COMMAND or an `--env` is not written as it must be."""


class BuilderFolderInvalid(UsageError):
    """A builder's folder lacks what its image is made of."""


class DependenciesUnknown(UsageError):
    """A source tree does not say what it needs to be compiled."""


class NoTerminal(UsageError):
    """What is to be typed to is started where nobody types."""


class WorkerArgumentInvalid(UsageError):
    """`builder.worker` is told to listen where it cannot, or to whom it must not."""


class ToolInvalid(UsageError):
    """CHECK_TOOLS or a `--tool` is not a tool, or a tool with its arguments."""


class DockerConfigInvalid(UsageError):
    """Docker's own config.json, or what it refers to, cannot be used."""


class DockerHostInvalid(UsageError):
    """DOCKER_HOST, or Docker's context, is not the address of an engine."""


class RegistryCaInvalid(UsageError):
    """REGISTRY_CA names no file with CA certificates."""


class RegistryCertsInvalid(UsageError):
    """Docker's certs.d has no certificates, or not the key of one, where they should be."""


class PlatformInvalid(UsageError):
    """A string is not a platform, as linux/amd64."""


class KeepRuleInvalid(UsageError):
    """What prune is to keep is not said, or cannot be read."""


class RegistryNotLocal(UsageError):
    """REGISTRY is not on loopback, so it is not ours to start."""


class ListenInvalid(UsageError):
    """A `--listen` is not an address with or without a port."""


class HtpasswdInvalid(UsageError):
    """A file of logins cannot be read, is empty, or has hashes that registries do not know."""


class MirrorInvalid(UsageError):
    """A `--mirror-of` names no registry, or there is no mirror of its kind."""
