"""Stages: remember when each step from an edit to the nodes was taken, and how long it took."""

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cephtasks import console
from cephtasks.errors import CephtasksError

EDIT = "edit"  # when a file of the source was saved last; it takes no time of ours
OnEdit = Callable[[float | None], None]  # when a file was saved, in seconds of Unix, where that is known
ORDER = (EDIT, "compile", "pack", "check", "fix", "push", "nodes.pull")


@dataclass(frozen=True)
class Stage:
    """A step: when it began, in seconds of Unix, how many seconds it took, and why it failed."""

    name: str
    began: float
    seconds: float = 0.0
    error: str = ""

    @property
    def ended(self) -> float:
        """When it ended, in seconds of Unix."""
        return self.began + self.seconds

    def document(self) -> dict[str, Any]:
        """The stage as `status --json` prints it."""
        return asdict(self)


@dataclass(frozen=True)
class Stages:
    """What a STATE_DIR remembers of the steps of its images: of each step the last time."""

    file: Path

    def of(self, image: str) -> tuple[Stage, ...]:
        """The steps of an image that follow on each other, the last edit's first."""
        return latest(self._read().get(image, {}))

    def note(self, image: str, steps: Mapping[str, Stage | None]) -> None:
        """Remember steps of an image, and forget those that are None.

        What cannot be written costs the table of `status`, no more.
        """
        if not self.file.parent.is_dir():
            return  # no step has done anything yet
        known = self._read()
        merged = {**known.get(image, {}), **steps}
        known[image] = {name: step for name, step in merged.items() if step is not None}
        document = {name: [each.document() for each in taken.values()] for name, taken in known.items()}
        beside = self.file.with_name(f"{self.file.name}.{os.getpid()}")
        try:
            beside.write_text(json.dumps(document, indent=2) + "\n")
            beside.replace(self.file)
        except OSError as error:
            console.warn(f"{self.file} cannot be written: {error.strerror}")

    @contextmanager
    def timed(self, image: str, name: str) -> Iterator[OnEdit]:
        """Remember the block as a step, also where it fails; it gets what to call with its edit's time."""
        steps: dict[str, Stage | None] = {}
        began, error = time.time(), ""

        def edited(at: float | None) -> None:
            # That of an earlier line is not of this one, where there is none now.
            steps[EDIT] = None if at is None else Stage(EDIT, at)

        try:
            yield edited
        except CephtasksError as failure:
            error = failure.fact
            raise
        except KeyboardInterrupt:
            error = "stopped"
            raise
        finally:
            steps[name] = Stage(name, began, time.time() - began, error)
            self.note(image, steps)

    def _read(self) -> dict[str, dict[str, Stage]]:
        try:
            document = json.loads(self.file.read_bytes())
            return {
                image: {each["name"]: Stage(**each) for each in stages} for image, stages in document.items()
            }
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return {}  # there is none yet, or it is damaged: it will be written anew


def latest(known: Mapping[str, Stage]) -> tuple[Stage, ...]:
    """Of the steps that were taken those that follow on each other: none that began before an earlier one."""
    steps = [known[name] for name in ORDER if name in known]
    return tuple(
        step
        for index, step in enumerate(steps)
        if all(step.began >= before.began for before in steps[:index])
    )


def span(stages: Sequence[Stage]) -> float:
    """Seconds from the beginning of the first to the end of the last."""
    return max(stage.ended for stage in stages) - stages[0].began
