"""Errors: what can go wrong, each named for the fact and telling what to type next.

    invoke.Exit
     └─ CephtasksError                exit 1: something failed
         ├─ Interrupted               exit 130: the user pressed Ctrl-C
         ├─ NotReady
         ├─ EngineUnreachable
         │   └─ EngineNotTrusted
         ├─ EngineRefused
         ├─ ImageNotFound
         ├─ PullFailed
         │   ├─ PullNotTrusted
         │   ├─ PullUnknown
         │   └─ PullRefused
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
         ├─ CephForeign
         ├─ CephNotStarted
         ├─ NodesFailed
         ├─ HandoverFailed
         ├─ DemoFailed
         └─ UsageError                exit 2: a setting or an argument is wrong, nothing was started
             ├─ SettingsInvalid
             ├─ EnvFileNotFound
             ├─ EnvFileUnreadable
             ├─ ReferenceInvalid
             ├─ SourceNotFolder
             ├─ GitUrlInvalid
             ├─ BuildArgumentInvalid
             ├─ BuilderFolderInvalid
             ├─ DependenciesUnknown
             ├─ NoTerminal
             ├─ WorkerArgumentInvalid
             ├─ ToolInvalid
             ├─ DockerConfigInvalid
             ├─ DockerHostInvalid
             ├─ RegistryCaInvalid
             ├─ RegistryCertsInvalid
             ├─ PlatformInvalid
             ├─ KeepRuleInvalid
             ├─ RegistryNotLocal
             ├─ ListenInvalid
             ├─ HtpasswdInvalid
             └─ MirrorInvalid

Tasks raise these and nothing else; Invoke prints one without a traceback because it is an `Exit`.
"""

from cephtasks.errors.base import CephtasksError as CephtasksError
from cephtasks.errors.failures import *  # noqa: F403 — every error is for everybody
from cephtasks.errors.usage import *  # noqa: F403
