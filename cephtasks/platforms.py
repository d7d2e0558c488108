"""Platforms: name the machines that an image is for, as `os/architecture[/variant]`.

Spec: https://github.com/opencontainers/image-spec, image-index.md, Platform.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cephtasks.errors import PlatformInvalid

# What Go calls the machines that the kernel calls otherwise.
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}
_WRITTEN = re.compile(r"([a-z0-9]+)/([a-z0-9_]+)(?:/([a-z0-9.]+))?")


@dataclass(frozen=True)
class Platform:
    """An operating system, an architecture in Go's words, and a variant of that, or none."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(filter(None, (self.os, self.architecture, self.variant)))

    def takes(self, other: "Platform") -> bool:
        """Whether an image for `other` is one for this; without a variant any of them is."""
        return ((self.os, self.architecture) == (other.os, other.architecture)) and self.variant in (
            "",
            other.variant,
        )

    @staticmethod
    def read(document: Mapping[str, Any]) -> "Platform":
        """The platform as an index or an image config has it; raises KeyError where it has none."""
        return Platform(
            str(document["os"]), str(document["architecture"]), str(document.get("variant") or "")
        )


def this_machine() -> Platform:
    """Linux on a machine such as this one."""
    machine = os.uname().machine
    return Platform("linux", _ARCHITECTURES.get(machine, machine))


def parse(text: str) -> Platform:
    """Read `os/architecture[/variant]`; raises PlatformInvalid."""
    match = _WRITTEN.fullmatch(text)
    if match is None:
        raise PlatformInvalid(f"{text!r} is no platform", "write os/architecture[/variant], as linux/arm64")
    return Platform(match[1], match[2], match[3] or "")
