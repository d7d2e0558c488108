"""Handover: say to the tools that run clusters which image they are to run."""

import shlex
import shutil
import subprocess

from cephtasks import console
from cephtasks.errors import HandoverFailed
from cephtasks.reference import Reference


def cephadm_line(image: Reference) -> tuple[str, ...]:
    """The words that have cephadm bring a cluster to an image, daemon after daemon.

    Source: Ceph's documentation, cephadm/upgrade.
    """
    return ("ceph", "orch", "upgrade", "start", "--image", str(image))


def ansible_variables(image: Reference) -> dict[str, str | bool]:
    """The variables of ceph-ansible's group_vars for an image that is named by its digest.

    ceph-ansible puts registry, image and tag together with a `/` and a `:`, and so comes to the digest.
    """
    algorithm, _, digits = (image.digest or "").partition(":")
    return {
        "containerized_deployment": True,
        "ceph_docker_registry": image.registry,
        "ceph_docker_image": f"{image.repository}@{algorithm}",
        "ceph_docker_image_tag": digits,
    }


def as_yaml(variables: dict[str, str | bool]) -> str:
    """The variables as a file of group_vars; a digest of decimal digits alone must not become a number."""
    lines = {
        name: str(value).lower() if isinstance(value, bool) else f'"{value}"'
        for name, value in variables.items()
    }
    return "\n".join(f"{name}: {value}" for name, value in lines.items())


def run(words: tuple[str, ...], host: str, dry: bool) -> None:
    """Have `ceph`, or else `cephadm`, of this machine or of `host` do it. Raises HandoverFailed."""
    if host:
        words = ("ssh", "--", host, shlex.join(words))
    elif not shutil.which(words[0]) and shutil.which("cephadm"):
        words = ("cephadm", "shell", "--", *words)
    if dry:
        console.say(shlex.join(words))
        return
    try:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    except OSError as error:
        hint = "invoke nodes.handover --run --on HOST, where ceph is"
        raise HandoverFailed(f"{words[0]} cannot be run: {error.strerror}", hint) from error
    said = " / ".join((done.stdout + done.stderr).strip().splitlines())
    if done.returncode:
        raise HandoverFailed(f"{shlex.join(words)} ended with {done.returncode}: {said}", "ceph orch status")
    console.say(said)
