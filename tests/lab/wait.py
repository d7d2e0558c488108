"""Wait: a program that runs a command, and writes to a file the seconds and the memory that it took.

Linux counts what a process held before it became another program, so whoever starts one to measure it has to
be smaller than it: that is why this is a program by itself (getrusage(2), RUSAGE_CHILDREN).
"""

import os
import subprocess
import sys
import time
from pathlib import Path


def main() -> int:
    """Run the command after the first argument, the file; its exit code is ours. Memory is in bytes."""
    started = time.perf_counter()
    process = subprocess.Popen(sys.argv[2:])
    _, status, used = os.wait4(process.pid, 0)  # tells of this one child alone
    took = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    Path(sys.argv[1]).write_text(f"{took} {used.ru_maxrss * 1024}")
    return process.returncode


if __name__ == "__main__":
    sys.exit(main())
