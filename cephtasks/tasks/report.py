"""Report: print what tasks found or made, as a person or a program reads it."""

import shlex
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cephtasks import console

if TYPE_CHECKING:
    from cephtasks.doctor import Part
    from cephtasks.leftovers import Leftovers
    from cephtasks.pack import Packed, Prepared
    from cephtasks.registry import Pushed
    from cephtasks.settings import Settings
    from cephtasks.stages import Stage
    from cephtasks.status import Status


def packed(made: "Packed", on_demand: bool) -> None:
    """The name of an image, after what its new layers weigh, and that the engine gets it only on demand."""
    if made.id:
        size = console.size(sum(item.blob.size for item in made.written))
        console.say(f"layers above the base: {len(made.kept)} kept, {len(made.written)} written, {size}")
        if on_demand:
            console.say("the engine gets the image when a task needs it there")
    console.result(made.name)


def sent(done: "Pushed") -> None:
    """What had to be sent, and where to."""
    statuses = ("uploaded", "mounted", "present")
    counts = {status: sum(layer.status == status for layer in done.layers) for status in statuses}
    told = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    size = console.size(done.uploaded_bytes)
    console.say(f"sent {size} to {done.reference} in {done.seconds:.1f} s; layers: {told}")


def pushed(done: "Pushed", as_json: bool) -> None:
    """The name that the registry knows an image by, after what had to be sent."""
    if as_json:
        console.result_json(done.document())
        return
    sent(done)
    console.result(str(done.by_digest))


def status(found: "Status", taken: "Sequence[Stage]", as_json: bool) -> None:
    """The layers of an image from top to bottom, what a push would send, and the steps that were taken."""
    if as_json:
        console.result_json({**found.document(), "stages": [stage.document() for stage in taken]})
        return
    rows = [
        (
            item.blob.digest.removeprefix("sha256:")[:12],
            item.share.component,
            str(item.share.files),
            console.size(item.blob.size),
            console.size(item.share.content_bytes),
            console.size(item.share.shadowed_bytes) if item.share.shadowed_bytes else "",
        )
        for item in found.layers
    ]
    push = found.push
    console.result(f"{found.image} on {found.base} ({console.count(found.base_layers, 'layer')})")
    console.table(("layer", "component", "files", "blob", "content", "shadowed"), rows)
    live, garbage = console.size(found.live_bytes), console.size(found.garbage_bytes)
    console.result(f"live: {live}; garbage: {garbage}")
    if push.unknown:
        console.result(f"push to {push.target}: not known, {push.unknown}")
    else:
        console.result(
            f"push to {push.target}: {console.count(push.blobs, 'blob')}, {console.size(push.bytes)}"
        )
    if taken:
        stages(taken)


def stages(taken: "Sequence[Stage]") -> None:
    """The steps from an edit to the nodes, and how long all of it took."""
    from cephtasks.stages import EDIT, span

    rows = [
        (
            stage.name,
            f"{datetime.fromtimestamp(stage.began):%Y-%m-%d %H:%M:%S}",
            "" if stage.name == EDIT else f"{stage.seconds:.1f} s",
            stage.error,
        )
        for stage in taken
    ]
    console.result("")
    console.table(("step", "began", "took", "failed" if any(stage.error for stage in taken) else ""), rows)
    if len(taken) > 1:
        console.result(f"{taken[0].name} to {taken[-1].name}: {span(taken):.1f} s")


def rewrite(prepared: "Prepared") -> None:
    """What compacting an image costs."""
    layers = prepared.plan.layers
    size = console.size(sum(new.content_bytes for new in layers))
    gone = len(prepared.before.layers) - prepared.plan.kept
    console.say(f"compacting writes {console.count(len(layers), 'layer')} with {size} in place of {gone}")


def leftovers(found: "Leftovers", removed: bool, as_json: bool) -> None:
    """What is left of earlier images, and whether it is gone."""
    if as_json:
        console.result_json(found.document(removed))
        return
    told = [
        f"{console.count(len(found.files), 'file')} of STATE_DIR with {console.size(found.bytes)}",
        f"{console.count(len(found.images), 'unnamed image')} of the engine",
    ]
    console.result(f"{'removed' if removed else 'left of earlier images'}: {', '.join(told)}")
    if not removed and (found.files or found.images):
        console.say("nothing is removed without --yes")


def parts(found: "Sequence[Part]", as_json: bool) -> None:
    """What the daily line needs, a row a part."""
    if as_json:
        console.result_json([part.document() for part in found])
        return
    states = {True: "ok", False: "not ok", None: "unknown"}
    rows = [(part.name, states[part.well], part.found, part.hint) for part in found]
    console.table(("part", "state", "found", "type next"), rows)


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
        return [str(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _line(value: object) -> str:
    """A setting's value as `.env` has it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return shlex.join(value) if isinstance(value, list) else "" if value is None else str(value)
