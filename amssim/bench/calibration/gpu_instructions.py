"""Single PTX instructions that the micro-benchmarks of a GPU are made of."""

import numpy as np

from cuda_kernels.ptx.inline import Vector, ptx

PAIR, QUAD = Vector(np.uint32, 2), Vector(np.uint32, 4)
SUMS = Vector(np.float32, 4)


@ptx("ld.global.cg.u64 $out, [$address];", ordered=True)
def load(address: np.uint64) -> np.uint64:
    """Load a word past L1."""
    return address


@ptx("mov.u64 $out, %clock64;", ordered=True)
def clocks(after: np.uint32) -> np.uint64:
    """Clocks of this SM, once ``after`` is known."""
    return np.uint64(after)


@ptx("mov.u64 $out, %globaltimer;", ordered=True)
def nanoseconds(after: np.uint32) -> np.uint64:
    """Nanoseconds of the GPU, once ``after`` is known."""
    return np.uint64(after)


@ptx("fma.rn.f16x2 $out, $x, $x, $x;")
def half_fma(x: np.uint32) -> np.uint32:
    """x * x + x of a pair of float16."""
    return x


@ptx(
    "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 $out, $a, $b, $out;",
    collective=True,
    update="c",
)
def mma(c: SUMS, a: QUAD, b: PAIR) -> SUMS:
    """c + a b of a warp's tiles."""
    return c
