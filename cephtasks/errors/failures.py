"""Failures: what can go wrong in what was started."""

from cephtasks.errors.base import CephtasksError


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
    """An image could not be pulled, for a reason that may pass unless it is one of these below."""


class PullNotTrusted(PullFailed):
    """The engine does not know the CA of the registry."""


class PullUnknown(PullFailed):
    """The registry has no image of that name for the engine's machine."""


class PullRefused(PullFailed):
    """The registry wants a login, the engine HTTPS, or its disk more space."""


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


class CephForeign(CephtasksError):
    """Where the files of a one-node Ceph would go lie those of another."""


class CephNotStarted(CephtasksError):
    """A one-node Ceph did not come up."""


class NodesFailed(CephtasksError):
    """One or more nodes did not do what was asked; the others did."""


class HandoverFailed(CephtasksError):
    """What runs the cluster did not take the image."""


class DemoFailed(CephtasksError):
    """A step of the demo ended otherwise than expected."""
