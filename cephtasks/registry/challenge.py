"""Challenges: read the WWW-Authenticate header by RFC 9110, section 11.6.1."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER = re.compile(rf'\s*(?P<name>{_WORD})\s*=\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<word>{_WORD}))')
_SCHEME = re.compile(rf"\s*(?P<scheme>{_WORD})(?:\s+|\s*(?=,|$))")
_TOKEN68 = re.compile(r"[0-9A-Za-z._~+/-]+=*\s*(?=,|$)")


@dataclass(frozen=True)
class Challenge:
    """How a registry wants to be shown who asks: the scheme and the parameter names in lower case."""

    scheme: str
    parameters: Mapping[str, str] = field(default_factory=dict, hash=False)


def read_challenges(header: str) -> tuple[Challenge, ...]:
    """The challenges of a header, in its order; what cannot be read ends the list."""
    challenges: list[Challenge] = []
    position = 0
    while position < len(header):
        parameter = _PARAMETER.match(header, position)
        scheme = _SCHEME.match(header, position)
        if parameter and challenges:
            challenges[-1] = _with(challenges[-1], parameter)
            position = parameter.end()
        elif scheme:
            challenges.append(Challenge(scheme["scheme"].lower()))
            token68 = _TOKEN68.match(header, scheme.end())
            position = token68.end() if token68 else scheme.end()
        elif header[position] in ", \t":
            position += 1
        else:
            break
    return tuple(challenges)


def _with(challenge: Challenge, parameter: re.Match[str]) -> Challenge:
    quoted = parameter["quoted"]
    value = parameter["word"] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
    return Challenge(challenge.scheme, {**challenge.parameters, parameter["name"].lower(): value})
