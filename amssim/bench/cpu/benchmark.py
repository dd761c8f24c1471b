"""The CPU benchmark: each fast path against a baseline in the same process.

One process measures one number of threads, because a BLAS reads its own from the environment when
it is loaded: `benchmark_cpu` starts a process per number. All ratios are of minimum times.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

from amssim.bench.machine import describe_machine
from amssim.errors import ResourceError
from amssim.progress import silent

MATRIX_SHAPES = ((4096, 4096), (4096, 14336))
_BLAS_VARIABLES = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")
_IMPORT_RUNS = 5


def benchmark_cpu(
    threads: Sequence[int],
    shapes: Sequence[tuple[int, int]] = MATRIX_SHAPES,
    *,
    progress: Callable[[str], None] = silent,
) -> dict[str, Any]:
    """Measure with each number of ``threads``; return {"machine", "import_s", "results"}.

    A result is a dict of item, scheme, shape, threads, time_s, gweights_per_s, and where there is
    a baseline its name and ``ratio``, how many times faster than the baseline the item is.

    Args:
        threads: numbers of threads, one process each.
        shapes: (rows, columns) of the weights.
        progress: called with a line on what is measured next.

    Raises:
        ResourceError: a measuring process that failed; the message ends with what it said.
    """
    results = []
    for count in threads:
        for rows, columns in shapes:
            progress(f"{rows}x{columns}, {count} thread{'s' * (count > 1)}")
            results += _in_new_process(count, rows, columns)
    return {"machine": describe_machine(), "import_s": import_s(), "results": results}


def import_s() -> float:
    """Return the least time of `import amssim` in a new interpreter, in seconds."""
    code = "import time; t = time.perf_counter(); import amssim; print(time.perf_counter() - t)"
    command = [sys.executable, "-c", code]
    runs = [subprocess.run(command, capture_output=True, text=True) for _ in range(_IMPORT_RUNS)]
    return min(float(r.stdout) for r in runs)


def _in_new_process(threads: int, rows: int, columns: int) -> list[dict[str, Any]]:
    environment = os.environ | dict.fromkeys(_BLAS_VARIABLES, str(threads))
    command = [sys.executable, "-m", "amssim.bench.cpu.items"]
    command += [str(number) for number in (threads, rows, columns)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        raise ResourceError(f"the benchmark process for {rows}x{columns} failed: {said}")
    results: list[dict[str, Any]] = json.loads(done.stdout)
    return results
