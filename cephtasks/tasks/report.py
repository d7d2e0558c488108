"""Report: print what tasks found or made, as a person or a program reads it."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cephtasks import console

if TYPE_CHECKING:
    from cephtasks.builder import Compiled
    from cephtasks.findings import Finding
    from cephtasks.pack import Packed
    from cephtasks.registry import Pushed
    from cephtasks.settings import Settings


def findings(found: "Sequence[Finding]", as_json: bool) -> None:
    """What check found, a row a tool."""
    if as_json:
        console.result_json([finding.document() for finding in found])
        return
    rows = [(each.tool, "ok" if each.ok else each.problem or "", each.detail) for each in found]
    console.table(("tool", "result", "detail"), rows)


def compiled(made: "Compiled") -> None:
    """How long compiling took, and where its fruits are."""
    if made.seconds:
        console.say(f"compiled in {made.seconds:.1f} s, installed in {made.tree}; log: {made.log}")


def packed(made: "Packed") -> None:
    """The name of an image, after what its new layers weigh."""
    if made.id:
        layers = "layer" if len(made.layers) == 1 else "layers"
        console.say(f"packed {len(made.layers)} {layers} above the base, {console.size(made.size)}")
    console.result(made.name)


def pushed(sent: "Pushed", as_json: bool) -> None:
    """The name that the registry knows an image by, after what had to be sent."""
    if as_json:
        console.result_json(sent.document())
        return
    counts = {
        status: sum(layer.status == status for layer in sent.layers)
        for status in ("uploaded", "mounted", "present")
    }
    told = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    console.say(f"sent {console.size(sent.uploaded_bytes)} in {sent.seconds:.1f} s; layers: {told}")
    console.result(str(sent.reference.with_digest(sent.digest)))


def settings(chosen: "Settings", as_json: bool) -> None:
    """Every setting, its value, and where that came from."""
    rows = [(name, _plain(value), origin) for name, value, origin in chosen.shown()]
    if as_json:
        console.result_json({name: {"value": value, "from": origin} for name, value, origin in rows})
    else:
        console.table(
            ("setting", "value", "from"), [(name, _line(value), origin) for name, value, origin in rows]
        )


def _plain(value: object) -> object:
    """A setting's value as JSON has it."""
    if isinstance(value, tuple):
        return list(value)
    return str(value) if isinstance(value, Path) else value


def _line(value: object) -> str:
    """A setting's value as `.env` has it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return shlex.join(value) if isinstance(value, list) else "" if value is None else str(value)
