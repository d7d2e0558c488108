"""Jobs: how many run at once, by cores and memory."""

import pytest

from cephtasks.builder.jobs import Jobs, jobs_for
from cephtasks.engine import Capacity

_GIB = 1024**3


@pytest.mark.parametrize(
    ("cores", "memory", "jobs"),
    [
        (8, 64, Jobs(8, 8, 8)),
        (8, 12, Jobs(4, 2, 4)),
        (64, 24, Jobs(8, 4, 8)),
        (2, 1, Jobs(1, 1, 1)),
        (1, 512, Jobs(1, 1, 1)),
    ],
)
def test_jobs_fit_cores_and_memory(cores: int, memory: int, jobs: Jobs) -> None:
    """A core and three GiB for each, twice that for one that links; never none."""
    assert jobs_for(Capacity(cores, memory * _GIB), 3 * _GIB, None) == jobs


def test_the_number_that_is_asked_for_holds() -> None:
    """BUILD_THREADS overrides what cores and memory say; linking stays within the memory."""
    assert jobs_for(Capacity(2, 8 * _GIB), 2 * _GIB, 16) == Jobs(16, 2, 2)
    assert jobs_for(Capacity(8, 64 * _GIB), 2 * _GIB, 1) == Jobs(1, 1, 1)


def test_other_machines_add_jobs_and_link_none() -> None:
    """What they take comes on top, unless BUILD_THREADS says how many there are in all."""
    assert jobs_for(Capacity(4, 64 * _GIB), 2 * _GIB, None, elsewhere=12) == Jobs(16, 4, 4)
    assert jobs_for(Capacity(4, 64 * _GIB), 2 * _GIB, 10, elsewhere=12) == Jobs(10, 10, 4)
