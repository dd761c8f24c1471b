"""GPU microbenchmarks: the kernels do the work they are timed for, and sweeps become figures."""

import os
import subprocess
import sys

import pytest

SIMULATED = """
import collections
import numpy as np
from amssim.bench.calibration import gpu_kernels as k

np.seterr(all="ignore")
reads = collections.Counter()

def load(address):
    reads[int(address) // 8] += 1
    return np.uint64(int(address) // 8)

k.load = load
out = np.zeros(2, np.uint64)
for size, rounds in ((64, 4), (24, 3), (1000, 8)):
    reads.clear()
    k.read[2, 8](0, size, rounds, out)
    assert reads.total() == 2 * 8 * k.UNROLL * rounds and set(reads) <= set(range(size)), size
    counts = [reads[i] for i in range(size)]
    assert max(counts) - min(counts) <= 1, (size, counts)

x = np.zeros(1, np.uint32)
for kernel in (k.logic, k.multiply, k.mixed):
    kernel[1, 2](2, x)
print("simulated")
"""


def test_kernels_in_the_simulator():
    """`read` touches every word equally often, whatever its number and the grid's."""
    pytest.importorskip("numba_cuda")
    done = subprocess.run(
        [sys.executable, "-c", SIMULATED],
        env=os.environ | {"NUMBA_ENABLE_CUDASIM": "1"},
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "simulated", done.stderr[-2000:]


@pytest.fixture(scope="module")
def ptx():
    """The PTX of every microbenchmark for sm_90."""
    pytest.importorskip("numba_cuda", reason="pip install '.[cuda]'")
    from numba import cuda, types

    from amssim.bench.calibration import gpu_kernels as k

    words, narrow = (types.Array(t, 1, "C") for t in (types.uint64, types.uint32))
    counted = types.void(types.int64, narrow)
    names = ("logic", "multiply", "mixed", "half_pairs", "tensor", "read", "clock")
    signatures = {"read": types.void(*[types.int64] * 3, words)}
    signatures["clock"] = types.void(types.int64, words)
    return {
        name: cuda.compile_ptx(getattr(k, name).py_func, signatures.get(name, counted), cc=(9, 0))[
            0
        ]
        for name in names
    }


@pytest.mark.parametrize(
    ("kernel", "text", "wide"),
    [
        ("logic", "shr.u32", "shr.u64"),
        ("multiply", "mad.lo.s32", "mul.lo.s64"),
        ("mixed", "fma.rn.f32", "shr.u64"),
        ("half_pairs", "fma.rn.f16x2", "depot"),
        ("tensor", "mma.sync", "depot"),
        ("read", "ld.global.cg.u64", "cvt.rn.f64"),
        ("clock", "%clock64", "depot"),
    ],
)
def test_timed_instructions_are_there_and_as_narrow_as_they_are_counted(ptx, kernel, text, wide):
    assert text in ptx[kernel] and wide not in ptx[kernel]
    assert ".local" not in ptx[kernel]  # chains live in registers
