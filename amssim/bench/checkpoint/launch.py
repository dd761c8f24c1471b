"""Runs one command and tells what it took; a small program of its own, run without the package.

Linux counts as the peak memory of a process also that of the one which started it, up to the
moment the program is loaded. A process that measures must therefore be smaller than any that it
measures: this one loads nothing but the standard library.

The arguments are the number of a file descriptor and the command's words. JSON is written to the
descriptor: wall and CPU seconds, peak resident bytes (of the largest process, if the command
starts more), exit status.
"""

from __future__ import annotations

import json
import os
import sys
import time


def launch(report: int, command: list[str]) -> None:
    """Run ``command`` and write what it took to the descriptor ``report``."""
    os.set_inheritable(report, False)
    start = time.perf_counter()
    process = os.posix_spawnp(command[0], command, os.environ)
    _, status, usage = os.wait4(process, 0)
    taken = {
        "wall_s": time.perf_counter() - start,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "peak_bytes": usage.ru_maxrss * 1024,
        "status": os.waitstatus_to_exitcode(status),
    }
    os.write(report, json.dumps(taken).encode())


if __name__ == "__main__":
    launch(int(sys.argv[1]), sys.argv[2:])
