"""Lifecycle: start and stop a registry of this machine's own, with its data in STATE_DIR."""

from dataclasses import dataclass
from pathlib import Path

from cephtasks import console
from cephtasks.errors import LocalRegistryFailed, RegistryUnauthorized
from cephtasks.local_registry import certificates, garbage, server
from cephtasks.local_registry.folder import RegistryFolder, Running, unwritable
from cephtasks.local_registry.garbage import Garbage
from cephtasks.local_registry.needs import exposure, needs
from cephtasks.local_registry.server import COMMAND, IMAGE, Connect
from cephtasks.local_registry.terms import Terms, upstream
from cephtasks.registry import Client
from cephtasks.settings import Settings


@dataclass(frozen=True)
class LocalRegistry:
    """A registry of this machine: its name, the folder of its data, and whether it was up as asked."""

    host: str
    data: Path
    was_up: bool


def up(
    settings: Settings, terms: Terms, connect: Connect, dry: bool = False, image: str = IMAGE
) -> LocalRegistry:
    """Start a registry, or find it up as it is asked for; by Debian's command, or without that from `image`.

    One that is up on other terms is started anew. `connect` reaches the engine where it is needed.
    Raises PortTaken, LocalRegistryFailed, StateUnwritable, Interrupted, and what reaching a registry to be
    mirrored raises.
    """
    folder = RegistryFolder.of(settings.state_dir)
    data = folder.data(terms)
    if dry:
        console.say(f"{COMMAND} serve {folder.config}")
        return LocalRegistry(terms.host, data, was_up=False)
    with folder.held():
        running = _up_now(folder, connect)
        if terms.tls:
            _certify(folder, terms)
        was_up = running is not None and running.terms == terms and not _is_certified_anew(running, folder)
        if running and was_up:
            server.await_answer(running, folder, connect)
            console.say(f"the registry at {terms.host} is up already")
        else:
            _replace(running, terms, folder, connect, image)
            console.say(f"a registry is up at {terms.host}, with its data in {data}")
    _tell(settings, terms, folder)
    return LocalRegistry(terms.host, data, was_up)


def down(settings: Settings, connect: Connect, dry: bool = False) -> bool:
    """Stop the registry that `up` started, and keep its data; returns whether there was one.

    `connect` reaches the engine where it is needed. Raises LocalRegistryFailed, StateUnwritable.
    """
    folder = RegistryFolder.of(settings.state_dir)
    if _unended(folder) is None:
        console.say("no registry of ours is up")
        return False
    with folder.held():
        running = _unended(folder)
        was_up = running is not None and server.is_running(running, connect)
        if running and dry:
            console.say(running.ends_by)
        elif running:
            server.end(running, folder, connect)
            console.say(f"the registry at {running.terms.host} is down{'' if was_up else ' already'}")
    return was_up


def collect(
    settings: Settings, untagged: bool, connect: Connect, dry: bool = False, image: str = IMAGE
) -> Garbage:
    """Remove from the registry what no manifest names, and with `untagged` manifests that no tag leads to.

    A registry that is up is down meanwhile, and up again however this ends. In a dry run it is only looked
    for. Raises LocalRegistryFailed, StateUnwritable.
    """
    folder = RegistryFolder.of(settings.state_dir)
    with folder.held():
        running = folder.recall()
        if running and running.terms.mirror_of:
            fact = (
                f"the registry at {running.terms.host} is a mirror: what it holds goes after a week by itself"
            )
            raise LocalRegistryFailed(fact, "invoke registry.status")
        found = garbage.find(folder.own_data, untagged)
        if dry or not (found.blobs or found.manifests):
            return found
        if (running := _up_now(folder, connect)) is None:
            return _sweep(folder, untagged)
        try:
            server.end(running, folder, connect)
            return _sweep(folder, untagged)
        finally:
            server.end(running, folder, connect)  # where that was interrupted
            server.start(running.terms, folder, connect, image)


def _sweep(folder: RegistryFolder, untagged: bool) -> Garbage:
    """Look once more, now that nobody writes, and remove what is found."""
    found = garbage.find(folder.own_data, untagged)
    try:
        garbage.sweep(found)
    except OSError as error:
        raise unwritable(folder.own_data, error) from error
    return found


def _unended(folder: RegistryFolder) -> Running | None:
    running = folder.recall()
    return None if running is None or running.is_ended else running


def _up_now(folder: RegistryFolder, connect: Connect) -> Running | None:
    """The registry that runs."""
    running = folder.recall()
    return running if running and server.is_running(running, connect) else None


def _is_certified_anew(running: Running, folder: RegistryFolder) -> bool:
    """Whether it was started with another certificate than it has now."""
    return running.terms.tls and folder.certificate.stat().st_mtime > running.since


def _certify(folder: RegistryFolder, terms: Terms) -> None:
    """Have a certificate for the registry's names."""
    try:
        certificates.ensure(folder.ca, folder.certificate, terms.names())
    except OSError as error:
        raise unwritable(folder.ca.parent, error) from error


def _replace(
    before: Running | None, terms: Terms, folder: RegistryFolder, connect: Connect, image: str
) -> None:
    """Start a registry, ending the one that is up on other terms; what can be found wrong is found first."""
    own_port = before is not None and before.terms.port == terms.port
    server.require_free(terms, 0 if own_port else terms.port)
    remote = _remote(terms)
    if before:
        console.say(
            f"the registry at {before.terms.host} starts anew, with the data it has: {_why(before, terms)}"
        )
        server.end(before, folder, connect)
    folder.configure(terms, remote)
    server.start(terms, folder, connect, image)


def _why(before: Running, terms: Terms) -> str:
    if before.terms == terms:
        return "its certificate was made anew"
    return f"it was started by {before.terms.command}"


def _remote(terms: Terms) -> str:
    """The URL of the registry that is mirrored, found to be one; nothing where none is."""
    if not terms.mirror_of:
        return ""
    scheme, host = upstream(terms.mirror_of)
    ca = Path(terms.upstream_ca) if terms.upstream_ca else None
    with Client(host, ca, insecure=(host,) if scheme == "http" else ()) as client:
        try:
            client.send("GET", "/v2/", "its contents")
        except RegistryUnauthorized:
            console.warn(f"{host} wants a login, and the mirror has none: it gets what anybody may read")
        return client.base


def _tell(settings: Settings, terms: Terms, folder: RegistryFolder) -> None:
    for line in needs(terms, folder.ca, settings.registry, settings.registry_insecure):
        console.say(line)
    if warning := exposure(terms):
        console.warn(warning)
