"""Capacity: what an engine's machine has, and what its cgroups leave of that."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from cephtasks.engine import Capacity, Engine
from cephtasks.engine.capacity import within

_MACHINE = Capacity(8, 1000)


def test_the_engine_is_asked(engine: Engine) -> None:
    """What `docker info` says, or less; each at least one."""
    found = engine.capacity()
    told = ["docker", "info", "--format={{.NCPU}} {{.MemTotal}}"]
    cores, memory = subprocess.run(told, check=True, capture_output=True, text=True).stdout.split()
    assert 1 <= found.cores <= int(cores)
    assert 1 <= found.memory <= int(memory)


@pytest.mark.parametrize(
    ("files", "left"),
    [
        ({}, _MACHINE),
        ({"memory.max": "400", "cpu.max": "250000 100000"}, Capacity(2, 400)),
        ({"docker/memory.max": "400", "memory.max": "max", "cpu.max": "max 100000"}, Capacity(8, 400)),
        ({"memory/docker/memory.limit_in_bytes": "400"}, Capacity(8, 400)),
        ({"memory/memory.limit_in_bytes": "9223372036854771712"}, _MACHINE),
        ({"cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "100000"}, Capacity(1, 1000)),
        ({"cpu/docker/cpu.cfs_quota_us": "-1", "cpu/docker/cpu.cfs_period_us": "100000"}, _MACHINE),
        ({"memory.max": "4000", "cpu.max": "9900000 100000"}, _MACHINE),
    ],
)
def test_cgroups_allow_less(tmp_path: Path, files: Mapping[str, str], left: Capacity) -> None:
    """Limits of the topmost cgroup and of the containers' one count, in the files of both versions."""
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{text}\n")
    assert within(_MACHINE, tmp_path, "docker") == left
