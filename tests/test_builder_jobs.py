"""Jobs: how many run at once, by cores and memory."""

import pytest

from cephtasks.builder.jobs import Jobs, jobs_for
from cephtasks.engine import Capacity

_GIB = 1024**3


@pytest.mark.parametrize(
    ("cores", "memory", "jobs"),
    [
        (8, 64, Jobs(8, 8)),
        (8, 12, Jobs(4, 2)),
        (64, 24, Jobs(8, 4)),
        (2, 1, Jobs(1, 1)),
        (1, 512, Jobs(1, 1)),
    ],
)
def test_jobs_fit_cores_and_memory(cores: int, memory: int, jobs: Jobs) -> None:
    """A core and three GiB for each, twice that for one that links; never none."""
    assert jobs_for(Capacity(cores, memory * _GIB), 3 * _GIB, None) == jobs


def test_the_number_that_is_asked_for_holds() -> None:
    """BUILD_THREADS overrides what cores and memory say; linking stays within the memory."""
    assert jobs_for(Capacity(2, 8 * _GIB), 2 * _GIB, 16) == Jobs(16, 2)
    assert jobs_for(Capacity(8, 64 * _GIB), 2 * _GIB, 1) == Jobs(1, 1)
