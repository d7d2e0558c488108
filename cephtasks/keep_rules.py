"""Keep rules: read what says which images of a repository stay."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from cephtasks.errors import KeepRuleInvalid

_DURATION = re.compile(r"([0-9]{1,5})([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@dataclass(frozen=True)
class KeepRules:
    """What stays: the newest images, tags that match a glob, and images that are not older than this."""

    newest: int = 0
    matching: tuple[str, ...] = ()
    older_than: timedelta | None = None

    @staticmethod
    def read(newest: str, matching: Sequence[str], older_than: str) -> "KeepRules":
        """The rules as they are typed; raises KeepRuleInvalid, also where they would keep nothing."""
        if not newest and not older_than:
            raise KeepRuleInvalid("prune is not told what to keep", "add --keep N, --older-than 14d, or both")
        return KeepRules(
            count(newest) if newest else 0, tuple(matching), duration(older_than) if older_than else None
        )


def count(text: str) -> int:
    """Read how many images to keep; raises KeepRuleInvalid."""
    if not (text.isascii() and text.isdigit() and int(text)):
        raise KeepRuleInvalid(f"{text!r} is no number of images", "write a number of 1 or more")
    return int(text)


def duration(text: str) -> timedelta:
    """Read an age, as 14d; raises KeepRuleInvalid."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise KeepRuleInvalid(
            f"{text!r} is no age", "write a number of minutes, hours, days or weeks, as 90m, 36h, 14d or 2w"
        )
    return timedelta(**{_UNITS[match[2]]: int(match[1])})
