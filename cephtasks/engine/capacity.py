"""Capacity: tell how many cores and how much memory the containers of an engine may use."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_CGROUPS = Path("/sys/fs/cgroup")
# Where an engine puts its containers, by how it makes cgroups, unless it was started with --cgroup-parent.
_PARENTS = {"cgroupfs": "docker", "systemd": "system.slice"}


@dataclass(frozen=True)
class Capacity:
    """Cores, and memory in bytes."""

    cores: int
    memory: int


def capacity(api: Any, is_local: bool) -> Capacity:
    """What the engine says of its machine, less where the cgroups of this machine, its own, allow less."""
    told = api.info()
    machine = Capacity(int(told["NCPU"]), int(told["MemTotal"]))
    return within(machine, _CGROUPS, _PARENTS.get(told.get("CgroupDriver", ""), "")) if is_local else machine


def within(machine: Capacity, cgroups: Path, parent: str) -> Capacity:
    """What the limits of a cgroup and of the topmost one leave of a machine; a container may be that machine.

    The files are those of https://docs.kernel.org/admin-guide/cgroup-v2.html and of cgroup-v1/ beside it.
    """
    folders = (Path(), Path(parent))
    memory = [limit for folder in folders for limit in _memory_limits(cgroups, folder)]
    cores = [limit for folder in folders for limit in _core_limits(cgroups, folder)]
    return Capacity(max(1, int(min([machine.cores, *cores]))), min([machine.memory, *memory]))


def _memory_limits(cgroups: Path, folder: Path) -> Iterator[int]:
    yield from _numbers(cgroups / folder / "memory.max")
    yield from _numbers(cgroups / "memory" / folder / "memory.limit_in_bytes")


def _core_limits(cgroups: Path, folder: Path) -> Iterator[float]:
    first = cgroups / "cpu" / folder
    for found in (
        _numbers(cgroups / folder / "cpu.max"),
        _numbers(first / "cpu.cfs_quota_us") + _numbers(first / "cpu.cfs_period_us"),
    ):
        if len(found) == 2:  # a quota and its period, both in microseconds
            yield found[0] / found[1]


def _numbers(file: Path) -> list[int]:
    """The numbers of 1 or more in a file; where there is no limit there are words, or -1."""
    try:
        words = file.read_text().split()
    except OSError:
        return []  # a cgroup without that controller, or of the other version
    return [int(word) for word in words if word.isdigit() and int(word)]
