"""Microbenchmark kernels for CPUs: one resource each, the rest out of the way."""

from __future__ import annotations

import numpy as np

from amssim._jit import jit

#: Operations of `shifts`, `multiplies` and `multiply_adds` on every element they load.
SHIFT_OPERATIONS = 24
MULTIPLIES = 8
MULTIPLY_ADDS = 16
#: Dependent operations of one step of `chain`.
CHAIN_OPERATIONS = 6


@jit
def total(words):
    """Sum of words: a read of every byte.

    words: uint64[n]
    """
    s = np.uint64(0)
    for i in range(words.size):
        s += words[i]
    return s


@jit
def chase(next_index, steps):
    """Follow indices: one dependent load a step.

    next_index: int64[n] a single cycle
    """
    at = np.int64(0)
    for _ in range(steps):
        at = next_index[at]
    return at


@jit
def chain(steps):
    """x ^= x << 13; x ^= x >> 7; x ^= x << 17: six dependent operations a step, a clock each."""
    x = np.uint64(88172645463325252)
    for _ in range(steps):
        x ^= x << np.uint64(13)
        x ^= x >> np.uint64(7)
        x ^= x << np.uint64(17)
    return x


@jit
def shifts(x, repeats):
    """x ^= x << 13, x >> 17, x << 5, four times: logic and shifts on vectors.

    x: uint32[n] in the first-level cache
    """
    for _ in range(repeats):
        for i in range(x.size):
            v = x[i]
            for _ in range(4):
                v ^= np.uint32(v << np.uint32(13))
                v ^= np.uint32(v >> np.uint32(17))
                v ^= np.uint32(v << np.uint32(5))
            x[i] = v


@jit
def multiplies(x, repeats):
    """x = x * x + b, eight times: 32-bit multiplies on vectors.

    x: uint32[n] in the first-level cache
    """
    for _ in range(repeats):
        for i in range(x.size):
            v = x[i]
            for _ in range(8):
                v = np.uint32(v * v) + np.uint32(1013904223)
            x[i] = v


@jit(fastmath={"contract"})
def multiply_adds(x, repeats):
    """x = x * a + b, sixteen times: float32 fused multiply-adds on vectors.

    x: float32[n] in the first-level cache
    """
    a, b = np.float32(0.999), np.float32(1e-3)
    for _ in range(repeats):
        for i in range(x.size):
            v = x[i]
            for _ in range(16):
                v = v * a + b
            x[i] = v


@jit(fastmath={"contract"})
def shifts_and_multiply_adds(x, y, repeats):
    """The work of `shifts` and `multiply_adds` in one loop: what can be issued together.

    x: uint32[n], y: float32[n] in the first-level cache
    """
    a, b = np.float32(0.999), np.float32(1e-3)
    for _ in range(repeats):
        for i in range(x.size):
            v, w = x[i], y[i]
            for _ in range(4):
                v ^= np.uint32(v << np.uint32(13))
                v ^= np.uint32(v >> np.uint32(17))
                v ^= np.uint32(v << np.uint32(5))
            for _ in range(16):
                w = w * a + b
            x[i] = v
            y[i] = w
