"""Needs: say what nodes and people must do to reach a registry of this machine."""

import json
from collections.abc import Collection, Iterator
from pathlib import Path

from cephtasks.local_registry.terms import Terms, upstream
from cephtasks.reference import DOCKER_HUB


def exposure(terms: Terms) -> str:
    """What it means that other machines reach the registry as they do; nothing where that is well."""
    if not terms.is_open or (terms.tls and terms.htpasswd):
        return ""
    if terms.tls:
        what = f"whoever reaches {terms.host} can push, pull and delete images there"
        return f"{what}: --htpasswd FILE asks for a login"
    if terms.htpasswd:
        return f"images and passwords go to {terms.host} unencrypted: --tls encrypts them"
    what = f"whoever reaches {terms.host} can push, pull and delete images there, or change them on their way"
    return f"{what}: --tls and --htpasswd FILE keep others out"


def needs(terms: Terms, ca: Path, registry: str, insecure: Collection[str]) -> Iterator[str]:
    """Lines that say who must do what; `registry` and `insecure` are REGISTRY and REGISTRY_INSECURE."""
    if terms.tls and terms.is_open:
        yield f"engines need its CA, {ca}, as /etc/docker/certs.d/{terms.host}/ca.crt"
    elif terms.tls:
        yield f"its CA, for whoever asks for it: {ca}"
    if _is_of_hub(terms):
        yield _daemon_line("registry-mirrors", terms.url)
    elif terms.is_open and not terms.tls:
        yield _daemon_line("insecure-registries", terms.host)
    if terms.mirror_of and not _is_of_hub(terms):
        yield f"nodes pull {terms.host}/REPOSITORY in place of {upstream(terms.mirror_of)[1]}/REPOSITORY"
    if terms.htpasswd:
        yield f"whoever pushes or pulls needs a login: docker login {terms.host}"
    lines = [f"REGISTRY={terms.host}"] if terms.host != registry else []
    if terms.is_open and not terms.tls and terms.host not in insecure:
        lines.append(f"REGISTRY_INSECURE={terms.host}")
    if lines and not terms.mirror_of:
        yield f"tasks that are to use it need in .env: {' '.join(lines)}"


def _is_of_hub(terms: Terms) -> bool:
    """Whether it mirrors Docker Hub, the only registry for which engines know mirrors."""
    return bool(terms.mirror_of) and upstream(terms.mirror_of)[1] == DOCKER_HUB


def _daemon_line(key: str, value: str) -> str:
    return f"engines need in /etc/docker/daemon.json: {json.dumps({key: [value]})}"
