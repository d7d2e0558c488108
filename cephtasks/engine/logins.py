"""Logins: look up a registry's user and password in Docker's credential store."""

import docker.auth
import docker.errors

from cephtasks import console
from cephtasks.engine.troubles import reason


def credentials(registry: str) -> tuple[str, str] | None:
    """User and password, or `<token>` and an identity token; None where there was no `docker login`."""
    try:
        found = docker.auth.load_config().resolve_authconfig(registry)
    except docker.errors.DockerException as error:
        console.warn(f"Docker's credential store does not answer for {registry}: {reason(error)}")
        return None
    if not found:
        return None
    # The SDK spells the keys by where it found them: config.json, or a credential helper.
    known = {key.lower(): value for key, value in found.items()}
    if known.get("identitytoken"):
        return "<token>", known["identitytoken"]
    user, password = known.get("username"), known.get("password")
    return (user, password) if user and password else None
