"""Microbenchmark kernels for GPUs: one resource each. Numba compiles them at their first launch.

Four independent chains per thread hide the latency of an instruction; loops over steps unroll.
"""

import numpy as np
from numba import cuda

from amssim.bench.calibration.gpu_instructions import clocks, half_fma, load, mma, nanoseconds

#: Words that one thread of `read` keeps requested, and bytes of each.
UNROLL, WORD_BYTES = 4, 8
#: Steps of one pass; so many of `mixed` still unroll to the last.
STEPS, MIXED_STEPS = 16, 4
#: Instructions of one pass of `logic`, `multiply`, `mixed`, `half_pairs` and `tensor`, per thread.
LOGIC, MULTIPLY, MIXED, HALF, TENSOR = 8 * STEPS, 4 * STEPS, 20 * MIXED_STEPS, 4 * STEPS, 2 * STEPS
MMA_FLOPS = 2 * 16 * 8 * 16
#: What no result equals: the comparison with it keeps the work alive.
_NEVER = np.uint32(0x9E3779B9)
_FIVE, _ADDEND = np.uint32(5), np.uint32(1013904223)
_FACTOR, _SUMMAND = np.float32(0.999), np.float32(1.5)


@cuda.jit
def logic(repeats, out):
    """x ^= x >> 5 on four chains: a shift and a LOP3 each.

    out: uint32[1]
    """
    a = np.uint32(cuda.grid(1))
    b, c, d = np.uint32(a + _FIVE), np.uint32(a ^ _ADDEND), np.uint32(a ^ _NEVER)
    for _ in range(repeats):
        for _ in range(STEPS):
            a = np.uint32(a ^ np.uint32(a >> _FIVE))
            b = np.uint32(b ^ np.uint32(b >> _FIVE))
            c = np.uint32(c ^ np.uint32(c >> _FIVE))
            d = np.uint32(d ^ np.uint32(d >> _FIVE))
    if a ^ b ^ c ^ d == _NEVER:
        out[0] = a


@cuda.jit
def multiply(repeats, out):
    """x = x x + b on four chains: one IMAD each.

    out: uint32[1]
    """
    a = np.uint32(cuda.grid(1))
    b, c, d = np.uint32(a + _FIVE), np.uint32(a ^ _ADDEND), np.uint32(a ^ _NEVER)
    for _ in range(repeats):
        for _ in range(STEPS):
            a = np.uint32(a * a + _ADDEND)
            b = np.uint32(b * b + _ADDEND)
            c = np.uint32(c * c + _ADDEND)
            d = np.uint32(d * d + _ADDEND)
    if a ^ b ^ c ^ d == _NEVER:
        out[0] = a


@cuda.jit
def mixed(repeats, out):
    """Per step and chain two logic instructions, one IMAD, two FFMA: no pipe but issue is full.

    out: uint32[1]
    """
    a = np.uint32(cuda.grid(1))
    b, c, d = np.uint32(a + _FIVE), np.uint32(a ^ _ADDEND), np.uint32(a ^ _NEVER)
    e, f, g, h = b, c, d, a
    p, q, r, s = np.float32(a), np.float32(b), np.float32(c), np.float32(d)
    t, u, v, w = q, r, s, p
    for _ in range(repeats):
        for _ in range(MIXED_STEPS):
            a = np.uint32(a ^ np.uint32(a >> _FIVE))
            b = np.uint32(b ^ np.uint32(b >> _FIVE))
            c = np.uint32(c ^ np.uint32(c >> _FIVE))
            d = np.uint32(d ^ np.uint32(d >> _FIVE))
            e, f = np.uint32(e * e + _ADDEND), np.uint32(f * f + _ADDEND)
            g, h = np.uint32(g * g + _ADDEND), np.uint32(h * h + _ADDEND)
            p, q = p * _FACTOR + _SUMMAND, q * _FACTOR + _SUMMAND
            r, s = r * _FACTOR + _SUMMAND, s * _FACTOR + _SUMMAND
            t, u = t * _FACTOR - _SUMMAND, u * _FACTOR - _SUMMAND
            v, w = v * _FACTOR - _SUMMAND, w * _FACTOR - _SUMMAND
    if a ^ b ^ c ^ d ^ e ^ f ^ g ^ h == _NEVER and p + q + r + s == t + u + v + w:
        out[0] = a


@cuda.jit
def read(words, size, rounds, out):
    """out[0] ^= words: per round four loads a grid apart, again and again, none from L1.

    words: address of uint64[size]
    out: uint64[1]
    """
    base, size = np.uint64(words), np.uint32(size)
    step = np.uint32(np.uint32(cuda.gridsize(1)) % size)
    i = np.uint32(np.uint32(cuda.grid(1)) % size)
    nothing, total = np.uint64(0x9E3779B97F4A7C15), np.uint64(0)
    for _ in range(rounds):
        j = np.uint32(i + step)
        j = np.uint32(j - size) if j >= size else j
        k = np.uint32(j + step)
        k = np.uint32(k - size) if k >= size else k
        m = np.uint32(k + step)
        m = np.uint32(m - size) if m >= size else m
        a = load(base + np.uint64(i) * np.uint64(WORD_BYTES))
        b = load(base + np.uint64(j) * np.uint64(WORD_BYTES))
        c = load(base + np.uint64(k) * np.uint64(WORD_BYTES))
        d = load(base + np.uint64(m) * np.uint64(WORD_BYTES))
        total ^= a ^ b ^ c ^ d
        i = np.uint32(m + step)
        i = np.uint32(i - size) if i >= size else i
        i = np.uint32(0) if total == nothing else i  # so that no round starts before this
    if total == nothing:
        out[0] = total


@cuda.jit
def clock(repeats, out):
    """out[0], out[1] = SM clocks and nanoseconds that a loop of logic takes.

    out: uint64[2]
    """
    x = np.uint32(cuda.grid(1))
    start, start_ns = clocks(x), nanoseconds(x)
    for _ in range(repeats):
        x = np.uint32(x ^ np.uint32(x >> _FIVE))
    end, end_ns = clocks(x), nanoseconds(x)
    if cuda.grid(1) == 0 or x == _NEVER:
        out[0], out[1] = end - start, end_ns - start_ns


@cuda.jit
def half_pairs(repeats, out):
    """x = x x + x on pairs, four chains: one HFMA2 each.

    out: uint32[1]
    """
    a = np.uint32(cuda.grid(1))
    b, c, d = np.uint32(a + _FIVE), np.uint32(a ^ _ADDEND), np.uint32(a ^ _NEVER)
    for _ in range(repeats):
        for _ in range(STEPS):
            a, b, c, d = half_fma(a), half_fma(b), half_fma(c), half_fma(d)
    if a ^ b ^ c ^ d == _NEVER:
        out[0] = a


@cuda.jit
def tensor(repeats, out):
    """mma.m16n8k16 on two chains of accumulators, operands in registers.

    out: uint32[1]
    """
    one, zero = np.uint32(0x3C003C00), np.float32(0.0)
    a, b = (one, one, one, one), (one, one)
    c = (zero, zero, zero, zero)
    d = (zero, zero, zero, zero)
    for _ in range(repeats):
        for _ in range(STEPS):
            c = mma(c, a, b)
            d = mma(d, a, b)
    if c[0] + d[0] == np.float32(-1.0):
        out[0] = one
