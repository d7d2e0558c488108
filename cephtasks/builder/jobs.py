"""Jobs: decide how many compile and link jobs run at once."""

from dataclasses import dataclass

from cephtasks.engine import Capacity

_LINK_JOB = 2  # times the memory of a compile job: linking a daemon of Ceph takes 4 to 5 GB


@dataclass(frozen=True)
class Jobs:
    """How many jobs run at once, how many of these may link, and how many run on the builder's machine."""

    all: int
    link: int
    here: int


def jobs_for(capacity: Capacity, memory_per_job: int, threads: int | None, elsewhere: int = 0) -> Jobs:
    """As many as cores and memory (bytes) allow, or as many as are asked for.

    What runs `elsewhere`, on other machines, comes on top; all linking is done here.
    """
    here = max(1, min(capacity.cores, capacity.memory // memory_per_job))
    jobs = threads or here + elsewhere
    link = max(1, min(threads or here, capacity.memory // (_LINK_JOB * memory_per_job)))
    return Jobs(jobs, link, min(here, jobs))
