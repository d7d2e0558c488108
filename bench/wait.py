"""Wait: a program that runs a command, then writes the seconds it took and its largest resident set in bytes.

Linux counts what a process held before it became another program, so whoever measures has to be smaller
than what is measured: that is why this is a program by itself (getrusage(2), RUSAGE_CHILDREN).
"""

import os
import subprocess
import sys
import time


def main() -> int:
    """Run the command that the arguments are; its output goes nowhere, its exit code is ours."""
    started = time.perf_counter()
    nowhere = subprocess.DEVNULL
    process = subprocess.Popen(sys.argv[1:], stdin=nowhere, stdout=nowhere, stderr=nowhere)
    _, status, used = os.wait4(process.pid, 0)  # tells of this one child alone
    took = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    sys.stdout.write(f"{took} {used.ru_maxrss * 1024}\n")
    return process.returncode


if __name__ == "__main__":
    sys.exit(main())
