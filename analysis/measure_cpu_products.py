"""Time cold products on this CPU for the simulator: python analysis/measure_cpu_products.py

Also measures the CPU's profile, in the same minute. Writes analysis/results/simulator_cpu.json.
"""

from __future__ import annotations

import os

THREADS = 1  # a shared machine: one thread is disturbed least
os.environ["OPENBLAS_NUM_THREADS"] = str(THREADS)  # read when numpy is loaded

import numpy as np  # noqa: E402
import recorded  # noqa: E402

from amssim import scheme  # noqa: E402
from amssim.bench import blas_s, calibrate_cpu, packed_s, random_packed  # noqa: E402

SCHEMES = ("fp5.33", "fp4.25")
SHAPES = ((1024, 1024), (1024, 4096), (2048, 2048), (4096, 2048), (4096, 4096), (8192, 4096))


def measure(rows: int, columns: int) -> list[dict]:
    """Times of one shape at batch 1."""
    x = np.ones(columns, np.float32)
    times = {("blas_f32", 32.0): blas_s(np.ones((rows, columns), np.float32), x)}
    for name in SCHEMES:
        packed = random_packed(scheme(name), rows, columns)
        times["ams_cpu", float(scheme(name).bits)] = packed_s(packed, x, threads=THREADS)
    where = {"rows": rows, "columns": columns, "batch": 1}
    return [{"kernel": k, **where, "bits": b, "us": t * 1e6} for (k, b), t in times.items()]


if __name__ == "__main__":
    profile = calibrate_cpu("epyc-vm", threads=THREADS)
    rows = [row for shape in SHAPES for row in measure(*shape)]
    recorded.save(
        "simulator_cpu", {"device": profile.name, "profile": profile.as_dict(), "rows": rows}
    )
