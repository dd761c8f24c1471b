"""Microbenchmark kernels for GPUs: one resource each. Numba compiles them at their first launch.

The functions of `assembled` need single PTX instructions, which the caller's assembler makes:
this package knows nothing of the one in cuda_kernels.
"""

from types import ModuleType

import numpy as np
from numba import cuda

#: Words that one thread of `read` keeps requested, and bytes of each.
UNROLL, WORD_BYTES = 4, 8
#: Instructions of one pass of `logic`, `multiply`, `mixed`, `half` and `tensor`, per thread.
LOGIC, MULTIPLY, MIXED, HALF, TENSOR = 32, 16, 64, 16, 8
MMA_FLOPS = 2 * 16 * 8 * 16
_CHAINS, _STEPS = 4, 4


@cuda.jit
def empty(out):
    """Nothing: the cost of a launch.

    out: uint64[1] not touched
    """


@cuda.jit
def read(words, passes, out):
    """out[0] ^= all words: each thread loads four at a time, a grid apart.

    words: uint64[n]
    out: uint64[1]
    """
    step = cuda.gridsize(1)
    s0 = s1 = s2 = s3 = np.uint64(0)
    for _ in range(passes):
        i = cuda.grid(1)
        while i + 3 * step < words.size:
            s0 ^= words[i]
            s1 ^= words[i + step]
            s2 ^= words[i + 2 * step]
            s3 ^= words[i + 3 * step]
            i += 4 * step
    if s0 ^ s1 ^ s2 ^ s3 == np.uint64(0x9E3779B97F4A7C15):
        out[0] = s0


@cuda.jit
def logic(repeats, out):
    """x ^= x >> 5 on four chains, four times: a shift and a LOP3 each.

    out: uint32[1]
    """
    x = cuda.local.array(4, np.uint32)
    for j in range(_CHAINS):
        x[j] = np.uint32(cuda.grid(1) + j)
    for _ in range(repeats):
        for _ in range(_STEPS):
            for j in range(_CHAINS):
                x[j] ^= x[j] >> np.uint32(5)
    if x[0] ^ x[1] ^ x[2] ^ x[3] == np.uint32(0x9E3779B9):
        out[0] = x[0]


@cuda.jit
def multiply(repeats, out):
    """x = x x + b on four chains, four times: one IMAD each.

    out: uint32[1]
    """
    x = cuda.local.array(4, np.uint32)
    for j in range(_CHAINS):
        x[j] = np.uint32(cuda.grid(1) + j)
    for _ in range(repeats):
        for _ in range(_STEPS):
            for j in range(_CHAINS):
                x[j] = x[j] * x[j] + np.uint32(1013904223)
    if x[0] ^ x[1] ^ x[2] ^ x[3] == np.uint32(0x9E3779B9):
        out[0] = x[0]


@cuda.jit
def mixed(repeats, out):
    """Two logic instructions, one IMAD and one FFMA on four chains, four times: the issue rate.

    out: uint32[1]
    """
    x = cuda.local.array(4, np.uint32)
    y = cuda.local.array(4, np.uint32)
    z = cuda.local.array(4, np.float32)
    for j in range(_CHAINS):
        x[j] = y[j] = np.uint32(cuda.grid(1) + j)
        z[j] = np.float32(j)
    for _ in range(repeats):
        for _ in range(_STEPS):
            for j in range(_CHAINS):
                x[j] ^= x[j] >> np.uint32(5)
                y[j] = y[j] * y[j] + np.uint32(1013904223)
                z[j] = z[j] * np.float32(0.999) + np.float32(1.5)
    total = z[0] + z[1] + z[2] + z[3]
    if x[0] ^ x[1] ^ x[2] ^ x[3] ^ y[0] ^ y[1] ^ y[2] ^ y[3] == np.uint32(7) and total == 7.0:
        out[0] = x[0]


def assembled(assembler: ModuleType) -> dict:
    """Return the kernels clock, half and tensor, made with ``assembler.ptx`` and its `Vector`."""
    ptx, pair, quad = assembler.ptx, assembler.Vector(np.uint32, 2), assembler.Vector(np.uint32, 4)
    sums = assembler.Vector(np.float32, 4)

    @ptx("mov.u64 $out, %clock64;", ordered=True)
    def now(after: np.uint32) -> np.uint64:
        return np.uint64(after)

    @ptx("fma.rn.f16x2 $out, $x, $x, $x;")
    def half_fma(x: np.uint32) -> np.uint32:
        return x

    text = "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 $out, $a, $b, $out;"

    @ptx(text, collective=True, update="c")
    def mma(c: sums, a: quad, b: pair) -> sums:
        return c

    @cuda.jit
    def clock(repeats, out):
        """out[0] = SM clocks that a loop of logic takes.

        out: uint64[1]
        """
        x = np.uint32(cuda.grid(1))
        start = now(x)
        for _ in range(repeats):
            x ^= x >> np.uint32(5)
        end = now(x)
        if cuda.grid(1) == 0:
            out[0] = end - start

    @cuda.jit
    def half(repeats, out):
        """x = x x + x on pairs, four chains, four times: one HFMA2 each.

        out: uint32[1]
        """
        x = cuda.local.array(4, np.uint32)
        for j in range(_CHAINS):
            x[j] = np.uint32(cuda.grid(1) + j)
        for _ in range(repeats):
            for _ in range(_STEPS):
                for j in range(_CHAINS):
                    x[j] = half_fma(x[j])
        if x[0] ^ x[1] ^ x[2] ^ x[3] == np.uint32(0x9E3779B9):
            out[0] = x[0]

    @cuda.jit
    def tensor(repeats, out):
        """Eight mma.m16n8k16 on two chains of accumulators, operands in registers.

        out: uint32[1]
        """
        one, zero = np.uint32(0x3C003C00), np.float32(0.0)
        a, b = (one, one, one, one), (one, one)
        c = (zero, zero, zero, zero)
        d = (zero, zero, zero, zero)
        for _ in range(repeats):
            for _ in range(4):
                c = mma(c, a, b)
                d = mma(d, a, b)
        if c[0] + d[0] == np.float32(-1.0):
            out[0] = one

    return {"clock": clock, "half": half, "tensor": tensor}
