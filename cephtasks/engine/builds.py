"""Builds: have an image made from a folder with a Dockerfile."""

import tarfile
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cephtasks.errors import EngineRefused


def build(
    api: Any,
    folder: Path,
    reference: str,
    on_output: Callable[[str], None],
    arguments: Mapping[str, str],
    labels: Mapping[str, str],
) -> None:
    """Make an image; links in the folder count as the files that they lead to. Raises EngineRefused."""
    with tempfile.TemporaryFile() as context:
        with tarfile.open(fileobj=context, mode="w", dereference=True) as tar:
            tar.add(folder, ".")
        context.seek(0)
        for event in api.build(
            fileobj=context,
            custom_context=True,
            tag=reference,
            buildargs=dict(arguments),
            labels=dict(labels),
            rm=True,
            forcerm=True,
            decode=True,
        ):
            if "error" in event:
                raise EngineRefused(f"docker build failed: {event['error'].strip()}", "docker info")
            if event.get("stream", "").strip():
                on_output(event["stream"].rstrip("\n"))
