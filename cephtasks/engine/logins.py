"""Logins: look up a registry's user and password in Docker's credential store."""

import warnings

import docker.auth
import docker.errors

from cephtasks import console
from cephtasks.engine.troubles import reason
from cephtasks.errors import DockerConfigInvalid


def credentials(registry: str) -> tuple[str, str] | None:
    """User and password, or `<token>` and an identity token; None where there was no `docker login`.

    Raises DockerConfigInvalid.
    """
    try:
        with warnings.catch_warnings(action="ignore", category=UserWarning):  # of a helper that is missing
            found = config().resolve_authconfig(registry)
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


def config() -> docker.auth.AuthConfig:
    """The logins of Docker's config.json. Raises DockerConfigInvalid."""
    try:
        return docker.auth.load_config()
    except (docker.errors.DockerException, ValueError, LookupError, TypeError, AttributeError) as error:
        # The SDK's words could quote a password.
        raise DockerConfigInvalid(
            "the logins in Docker's config.json cannot be read", "docker logout"
        ) from error
