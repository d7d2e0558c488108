"""Logins: look up a registry's user and password in Docker's credential store."""

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import docker.auth
import docker.errors

from cephtasks import console, settings
from cephtasks.engine.troubles import reason
from cephtasks.errors import DockerConfigInvalid


def credentials(registry: str) -> tuple[str, str] | None:
    """User and password, or `<token>` and an identity token; None where there was no `docker login`.

    Raises DockerConfigInvalid.
    """
    try:
        with warnings.catch_warnings(action="ignore", category=UserWarning):  # of a helper that is missing
            found = _handed_over().resolve_authconfig(registry) or config().resolve_authconfig(registry)
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
    with _readable("Docker's config.json", "docker logout"):
        return docker.auth.load_config()


def _handed_over() -> docker.auth.AuthConfig:
    """The logins of DOCKER_AUTH_CONFIG, which go before those of the file, as Docker has it."""
    with _readable("DOCKER_AUTH_CONFIG", "unset DOCKER_AUTH_CONFIG"):
        document = json.loads(settings.docker_auth_config() or "{}")
        return docker.auth.AuthConfig({"auths": docker.auth.parse_auth(document.get("auths", {}), True)})


@contextmanager
def _readable(place: str, hint: str) -> Iterator[None]:
    try:
        yield
    except (docker.errors.DockerException, ValueError, LookupError, TypeError, AttributeError) as error:
        # The SDK's words could quote a password.
        raise DockerConfigInvalid(f"the logins in {place} cannot be read", hint) from error
