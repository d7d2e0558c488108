"""Splitting: have the builder image's tools part files from their debug information."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from cephtasks.builder import OUR_BUILDER
from cephtasks.builder.contract import user_of
from cephtasks.engine import Engine, Mount, RunSpec
from cephtasks.errors import StripFailed, TreeChanged

RECIPE = 1  # of strip.sh; what another number made is not used
_TREE, _WORK = "/tree", "/work"  # in the container

OnProgress = Callable[[str, int, int], None]  # what is done, bytes done, bytes in all
Stamp = tuple[int, int, int]


@dataclass(frozen=True)
class Part:
    """A file of a tree to part from its debug information, whose `stamp` was taken before it was hashed.

    The halves are called `key` and `key.debug`. Where `linked_name` is not empty, the one names the other
    by it, in a section .gnu_debuglink.
    """

    path: str
    key: str
    size: int
    mode: int
    stamp: Stamp
    linked_name: str = ""


def stamp_of(path: Path) -> Stamp:
    """What no write to a file leaves as it was. Raises OSError."""
    status = path.lstat()
    return status.st_size, status.st_ino, status.st_ctime_ns


def split(
    parts: Sequence[Part], tree: Path, engine: Engine, image: str, kept: Path, on_progress: OnProgress
) -> None:
    """Make both halves of each part in the folder `kept`, in one container, all cores at work.

    The second half is there before the first, and both are whole. What is left of a run that was killed is
    done over. Raises ImageNotFound, StripFailed, TreeChanged, ContainerFailed, OSError.
    """
    engine.require_image(image, "invoke builder.image" if image == OUR_BUILDER else f"docker pull {image}")
    work = kept.parent / "new"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    kept.mkdir(exist_ok=True)
    try:
        for part in parts:
            _stage(part, work)
        _run(parts, tree, engine, image, work, on_progress)
        _require_unchanged(parts, tree)
        for part in parts:
            (work / f"{part.key}.debug").chmod(0o644)
            (work / part.key).chmod(part.mode)
            (work / f"{part.key}.debug").replace(kept / f"{part.key}.debug")
            (work / part.key).replace(kept / part.key)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _stage(part: Part, work: Path) -> None:
    """Links, as file names may hold what no list of them can."""
    (work / f"{part.key}.in").symlink_to(f"{_TREE}/{part.path}")
    if part.linked_name:
        link = work / f"{part.key}.link" / part.linked_name
        link.parent.mkdir()
        link.symlink_to(f"../{part.key}.debug")


def _run(
    parts: Sequence[Part], tree: Path, engine: Engine, image: str, work: Path, on_progress: OnProgress
) -> None:
    by_key = {part.key: part for part in parts}
    total = sum(part.size for part in parts)
    ended: dict[str, str] = {}
    troubles = bytearray()

    def hear(line: str) -> None:
        key, _, trouble = line.partition(" ")
        if key in by_key:
            ended[key] = trouble
            done = sum(by_key[key].size for key, trouble in ended.items() if not trouble)
            on_progress("stripping", done, total)

    lines = _Lines(hear)
    result = engine.run(_spec(tree, work, image), lines.add, troubles.extend)
    failed = next(((by_key[key].path, trouble) for key, trouble in ended.items() if trouble), None)
    if failed:
        path, trouble = failed
        raise StripFailed(f"{path} cannot be stripped: {trouble}", "STRIP=false invoke pack")
    if result.exit_code or len(ended) < len(parts):
        path = next((part.path for part in parts if part.key not in ended), parts[-1].path)
        said = troubles.decode(errors="backslashreplace").strip().rpartition("\n")[2]
        raise StripFailed(
            f"{image} could not strip {path}: {said or f'exit code {result.exit_code}'}",
            "STRIP=false invoke pack",
        )


def _require_unchanged(parts: Sequence[Part], tree: Path) -> None:
    """What a file became after it was hashed must not be known by that hash."""
    for part in parts:
        path = tree / part.path
        if not path.exists() or stamp_of(path) != part.stamp:
            raise TreeChanged(f"/{part.path} changed while it was being stripped", "invoke pack")


class _Lines:
    """Chunks of output, told on line by line."""

    def __init__(self, hear: Callable[[str], None]) -> None:
        self._hear = hear
        self._begun = b""

    def add(self, chunk: bytes) -> None:
        *lines, self._begun = (self._begun + chunk).split(b"\n")
        for line in lines:
            self._hear(line.decode(errors="backslashreplace"))


def _spec(tree: Path, work: Path, image: str) -> RunSpec:
    """The container reads the tree, and writes what becomes ours, as whoever our folder belongs to."""
    script = resources.files("cephtasks").joinpath("strip.sh").read_text()
    return RunSpec(
        image,
        entrypoint=("sh", "-c", script),
        mounts=(Mount(tree.resolve(), _TREE, read_only=True), Mount(work.resolve(), _WORK)),
        user=user_of(work),
        workdir=_WORK,
        purpose="strip",
    )
