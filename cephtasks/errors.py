"""Errors: what can go wrong, each named for the fact and telling what to type next.

    invoke.Exit
     └─ CephtasksError                exit 1: something failed
         ├─ UsageError                exit 2: a setting or an argument is wrong, nothing was started
         │   ├─ SettingsInvalid
         │   ├─ EnvFileNotFound
         │   ├─ EnvFileUnreadable
         │   ├─ ReferenceInvalid
         │   ├─ SourceNotFolder
         │   ├─ GitUrlInvalid
         │   ├─ BuildArgumentInvalid
         │   ├─ BuilderFolderInvalid
         │   ├─ DependenciesUnknown
         │   ├─ NoTerminal
         │   ├─ WorkerArgumentInvalid
         │   ├─ ToolInvalid
         │   ├─ DockerConfigInvalid
         │   ├─ DockerHostInvalid
         │   ├─ RegistryCaInvalid
         │   ├─ RegistryCertsInvalid
         │   ├─ PlatformInvalid
         │   ├─ KeepRuleInvalid
         │   ├─ RegistryNotLocal
         │   ├─ ListenInvalid
         │   ├─ HtpasswdInvalid
         │   └─ MirrorInvalid
         ├─ Interrupted               exit 130: the user pressed Ctrl-C
         ├─ NotReady
         ├─ EngineUnreachable
         │   └─ EngineNotTrusted
         ├─ EngineRefused
         ├─ ImageNotFound
         ├─ PullFailed
         ├─ ContainerFailed
         ├─ TreeInvalid
         ├─ TreeChanged
         ├─ BaseTooDeep
         ├─ ElfDamaged
         ├─ StripFailed
         ├─ StoreFailed
         ├─ BlobDamaged
         ├─ ArchiveBroken
         ├─ ImageNotPacked
         ├─ GitMissing
         ├─ GitFailed
         ├─ CloneFailed
         ├─ RefUnknown
         ├─ ObjectsGone
         ├─ SourceDirty
         ├─ WatchFailed
         ├─ BuildFolderForeign
         ├─ LauncherMissing
         ├─ CacheUnwritable
         ├─ CompileFailed
         ├─ InstallTreeEmpty
         ├─ WorkerFailed
         ├─ DependenciesFailed
         ├─ MmdebstrapMissing
         ├─ RootfsFailed
         ├─ StateUnwritable
         ├─ ToolsMissing
         ├─ CheckFailed
         ├─ LibraryNotFound
         ├─ NothingMends
         ├─ RegistryUnreachable
         ├─ RegistryWithoutTls
         ├─ RegistryNotTrusted
         ├─ NotARegistry
         ├─ RegistryUnauthorized
         ├─ RegistryRefused
         ├─ UploadLost
         ├─ ImageNotInRegistry
         ├─ PushNotKept
         ├─ TagsWouldGo
         ├─ DeletesDisabled
         ├─ LocalRegistryFailed
         ├─ PortTaken
         ├─ NodesFailed
         └─ DemoFailed

Tasks raise these and nothing else; Invoke prints one without a traceback because it is an `Exit`.
"""

from collections.abc import Sequence

from invoke.exceptions import Exit


class CephtasksError(Exit):
    """A failure in one line (what, where) with a hint of what to type next."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        self.fact = message
        self.hint = hint
        super().__init__(self._text([message], hint), code=self.exit_code)

    @staticmethod
    def _text(facts: Sequence[str], hint: str) -> str:
        lines = [f"error: {fact}" for fact in facts]
        return "\n".join([*lines, f"hint: {hint}"] if hint else lines)

    def __str__(self) -> str:
        return self.message or ""


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


class Interrupted(CephtasksError):
    """The user pressed Ctrl-C; the same command can be typed again."""

    exit_code = 130


class NotReady(CephtasksError):
    """Something that the daily line needs is not there."""


class EngineUnreachable(CephtasksError):
    """No Docker engine answers."""


class EngineNotTrusted(EngineUnreachable):
    """The engine's certificate cannot be verified."""


class EngineRefused(CephtasksError):
    """The Docker engine answered with an error."""


class ImageNotFound(CephtasksError):
    """The engine has no image of that name."""


class PullFailed(CephtasksError):
    """An image could not be pulled; `may_pass` tells whether trying again may help."""

    def __init__(self, message: str, hint: str = "", may_pass: bool = True) -> None:
        super().__init__(message, hint)
        self.may_pass = may_pass


class ContainerFailed(CephtasksError):
    """A container could not be started or did not end well."""


class TreeInvalid(CephtasksError):
    """A file tree is missing, empty, or holds what no image can carry."""


class TreeChanged(CephtasksError):
    """A file changed while it was being read."""


class BaseTooDeep(CephtasksError):
    """The base image has as many layers as an engine takes."""


class ElfDamaged(CephtasksError):
    """A file begins as ELF, and then ends too soon or contradicts itself."""


class StripFailed(CephtasksError):
    """The debug information of a file could not be split off."""


class StoreFailed(CephtasksError):
    """The store on disk could not be read or written."""


class BlobDamaged(CephtasksError):
    """A blob's bytes are not those its digest promises."""


class ArchiveBroken(CephtasksError):
    """What the engine saved ends too soon, or is no archive."""


class ImageNotPacked(CephtasksError):
    """The store holds no image of that name."""


class GitMissing(CephtasksError):
    """There is no git command on this host."""


class GitFailed(CephtasksError):
    """A git command failed in the source tree."""


class CloneFailed(CephtasksError):
    """The source could not be cloned; what came whole is kept for the next attempt."""


class RefUnknown(CephtasksError):
    """Neither the source tree nor its remote knows the commit, tag or branch."""


class ObjectsGone(CephtasksError):
    """A git tree shares objects with a repository that is gone."""


class SourceDirty(CephtasksError):
    """A switch was refused because it would lose work."""


class WatchFailed(CephtasksError):
    """The system does not tell when files of the source are saved."""


class BuildFolderForeign(CephtasksError):
    """The build folder belongs to root, and compiling is done as somebody else."""


class LauncherMissing(CephtasksError):
    """The builder image lacks the program that compilers are to be started through."""


class CacheUnwritable(CephtasksError):
    """The folder for compiled objects cannot be written to by who compiles."""


class CompileFailed(CephtasksError):
    """The build command did not end well in the builder image."""


class InstallTreeEmpty(CephtasksError):
    """The build command ended well but installed nothing."""


class WorkerFailed(CephtasksError):
    """A distcc daemon could not be started."""


class DependenciesFailed(CephtasksError):
    """What a source tree needs to be compiled could not be installed in a builder image."""


class MmdebstrapMissing(CephtasksError):
    """There is no mmdebstrap command on this host."""


class RootfsFailed(CephtasksError):
    """A Debian file system could not be made."""


class StateUnwritable(CephtasksError):
    """A file in STATE_DIR, such as a log, cannot be written."""


class ToolsMissing(CephtasksError):
    """The image has none of the tools that were to be checked."""


class CheckFailed(CephtasksError):
    """A tool of the image is not well."""


class LibraryNotFound(CephtasksError):
    """No library of the build is named as FIX_LIBS says."""


class NothingMends(CephtasksError):
    """Nothing in the build mends what is wrong with the image."""


class RegistryUnreachable(CephtasksError):
    """No registry answers, or the connection broke off."""


class RegistryWithoutTls(CephtasksError):
    """The registry speaks no TLS, and plain HTTP is not allowed for it."""


class RegistryNotTrusted(CephtasksError):
    """The registry's certificate cannot be verified."""


class NotARegistry(CephtasksError):
    """Something answers, but not as a registry does."""


class RegistryUnauthorized(CephtasksError):
    """The registry wants a login, or does not accept the one that it got."""


class RegistryRefused(CephtasksError):
    """The registry answered with an error: HTTP status, error code, and the seconds it asks to wait."""

    def __init__(
        self, message: str, hint: str = "", status: int = 0, error_code: str = "", retry_after: float = 0
    ) -> None:
        super().__init__(message, hint)
        self.status = status
        self.error_code = error_code
        self.retry_after = retry_after


class UploadLost(CephtasksError):
    """The registry does not go on with an upload that had begun."""


class ImageNotInRegistry(CephtasksError):
    """The registry has no image of that name, or none for this machine."""


class PushNotKept(CephtasksError):
    """The registry's tag does not name the image that was pushed."""


class TagsWouldGo(CephtasksError):
    """A manifest that tags name was to be deleted, and that was not confirmed."""


class DeletesDisabled(CephtasksError):
    """The registry deletes nothing."""


class LocalRegistryFailed(CephtasksError):
    """The registry of this machine could not be started or stopped, or cannot do what is asked of it."""


class PortTaken(CephtasksError):
    """Another program listens where the local registry should."""


class NodesFailed(CephtasksError):
    """One or more nodes did not do what was asked; the others did."""


class DemoFailed(CephtasksError):
    """A step of the demo ended otherwise than expected."""
