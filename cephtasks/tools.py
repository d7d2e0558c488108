"""Tools: start the tools of an image, and tell how each ends."""

import os
import re
import secrets
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

from cephtasks.engine import Engine, RunSpec
from cephtasks.errors import ContainerFailed, ToolInvalid, ToolsMissing
from cephtasks.findings import Ending, Finding, diagnose, not_found

TIME_LIMIT = 30  # seconds; `ceph --version` takes three from a cold disk, what takes ten times that hangs
_SLACK = 15  # seconds for a container to start and end, beyond what its tools may take
_KEPT_BYTES = 16384  # of a tool's output; a loader says a few hundred
_BIND_NOW = {"LD_BIND_NOW": "1"}  # symbols that are bound at their first use would fail later
_NO_SHELL = 'exec: "sh"'
_CANNOT_START = re.compile(r'exec: ".*')  # an engine's words of an entrypoint
_EXEC_CODES = (2, 126, 127)  # as shells exit that cannot start a program, or take it for a script


@dataclass(frozen=True)
class Tool:
    """A tool to start: as it was named, and the words that start it."""

    name: str
    words: tuple[str, ...]


def read_tool(text: str) -> Tool:
    """`rados` is started as `rados --version`, and `leveldbutil dump FILE` as it is. Raises ToolInvalid."""
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        raise ToolInvalid(
            f"the tool {text!r} cannot be split into words: {error}", "invoke settings"
        ) from error
    if not words or not words[0]:
        raise ToolInvalid("a tool has no name", "CHECK_TOOLS='rados ceph-mds' invoke check")
    return Tool(text.strip(), words if len(words) > 1 else (*words, "--version"))


def start(
    image: str,
    names: Sequence[str],
    engine: Engine,
    required: bool = False,
    more: Sequence[Tool] = (),
    limit: int = TIME_LIMIT,
) -> tuple[Finding, ...]:
    """Start tools of an image, and `more` that are not named, each for at most `limit` seconds.

    A tool that the image lacks is a finding where tools are `required`, and is passed over else.
    Raises ToolInvalid, ToolsMissing where the image has none of them, ImageNotFound, ContainerFailed.
    """
    tools = (*(read_tool(name) for name in dict.fromkeys(names)), *more)
    if not tools:
        raise ToolInvalid("no tool is named", "CHECK_TOOLS='rados ceph-mds' invoke check")
    engine.require_image(image, f"invoke build, or docker pull {image}")
    endings = _start_together(image, tools, engine, limit)
    apart = [tool for tool in tools if tool not in endings]
    endings |= {tool: _start_apart(image, tool, engine, limit) for tool in apart}
    named = [tool for tool in tools if tool not in more]
    if not required and not any(endings[tool].path for tool in named):
        wanted = ", ".join(tool.name for tool in named)
        raise ToolsMissing(
            f"{image} has none of the tools {wanted}", "invoke check --tool NAME, or set CHECK_TOOLS"
        )
    wanted_in_any_case = named if required else []
    found = ((tool.name, endings[tool]) for tool in tools if tool in wanted_in_any_case or endings[tool].path)
    return tuple(diagnose(name, ending) if ending.path else not_found(name) for name, ending in found)


def _start_together(image: str, tools: Sequence[Tool], engine: Engine, limit: int) -> dict[Tool, Ending]:
    """How the tools end in one container, as that takes longer to start than they do.

    Without those of which its shell cannot tell; of none where it has no shell.
    """
    marker = secrets.token_hex(16)
    script = resources.files("cephtasks").joinpath("start-tools.sh").read_text()
    arguments = [word for tool in tools for word in (str(len(tool.words)), *tool.words)]
    spec = RunSpec(
        image,
        entrypoint=("sh", "-c", script, "start-tools", marker, str(limit), str(_KEPT_BYTES), *arguments),
        purpose="check",
        timeout=limit + _SLACK,
        looks_only=True,
    )
    printed = bytearray()
    try:
        engine.run(spec, printed.extend, _unheard)
    except ContainerFailed as error:
        if _NO_SHELL not in error.fact:
            raise
    return _read_endings(bytes(printed), marker, tools)


def _read_endings(printed: bytes, marker: str, tools: Sequence[Tool]) -> dict[Tool, Ending]:
    """What start-tools.sh printed, but for tools whose end is unknown or told in the shell's words."""
    endings = {}
    for part in printed.split(f"\n{marker} ".encode())[1:]:
        head, path, output = part.split(b"\n", 2)
        number, code, kind = head.decode().split()
        tool, late = tools[int(number) - 1], code == "late"
        ending = Ending(int(code) if code.isdigit() else 0, output, late, os.fsdecode(path))
        unclear = kind == "elf" and ending.exit_code in _EXEC_CODES and not diagnose(tool.name, ending).fault
        if not path or (code != "-" and not unclear):
            endings[tool] = ending
    return endings


def _start_apart(image: str, tool: Tool, engine: Engine, limit: int) -> Ending:
    """How a tool ends as the entrypoint of a container of its own."""
    spec = RunSpec(
        image,
        command=tool.words[1:],
        entrypoint=tool.words[:1],
        env=_BIND_NOW,
        purpose="check",
        timeout=limit,
        looks_only=True,
    )
    output = bytearray()

    def keep(chunk: bytes) -> None:
        output.extend(chunk)
        del output[:-_KEPT_BYTES]

    try:
        result = engine.run(spec, keep, keep)
    except ContainerFailed as error:
        return _not_started(tool, error)
    return Ending(result.exit_code, bytes(output), result.timed_out, tool.words[0])


def _not_started(tool: Tool, error: ContainerFailed) -> Ending:
    """The ending of a tool that the engine cannot start; other failures of the engine are raised again."""
    said = _CANNOT_START.search(error.fact)
    if said is None:
        raise error
    if "not found" in said[0] or "no such file" in said[0]:
        return Ending(127)
    return Ending(126, said[0].encode(), path=tool.words[0])


def _unheard(chunk: bytes) -> None:
    """Of what the shell itself says, nothing is needed: what it cannot do shows in the endings."""
