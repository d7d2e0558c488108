"""Jobs: decide how many compile and link jobs run at once."""

from dataclasses import dataclass

from cephtasks.engine import Capacity

_LINK_JOB = 2  # times the memory of a compile job: linking a daemon of Ceph takes 4 to 5 GB


@dataclass(frozen=True)
class Jobs:
    """How many jobs run at once, and how many of these may link; at least one of each."""

    all: int
    link: int


def jobs_for(capacity: Capacity, memory_per_job: int, threads: int | None) -> Jobs:
    """As many as cores and memory (bytes) allow, or as many as are asked for."""
    jobs = threads or max(1, min(capacity.cores, capacity.memory // memory_per_job))
    return Jobs(jobs, max(1, min(jobs, capacity.memory // (_LINK_JOB * memory_per_job))))
