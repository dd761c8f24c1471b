"""Products of packed rows with x by the AVX2 kernels: their operands, and what is left to do."""

from __future__ import annotations

import numpy as np

from amssim._threads import over_rows
from amssim.cpu import kernels
from amssim.cpu.activations import PLANE_RADIX, planes
from amssim.cpu.decode import offset
from amssim.cpu.tiles import aligned, in_kernel_order, rows_of
from amssim.packed import PackedTensor

# Columns of x that share one pass over the weights: 4 integer sums leave room in 16 registers.
_INTEGER_COLUMNS = 4
# Up to here one pass per column is faster than decoding rows to memory, by measurement.
_FLOAT_PASSES = 4
# Wider batches are taken in parts whose x still fits the second cache.
_FLOAT_COLUMNS = 64
_HALF_SCALE = np.float32(2.0**14)


def float_product(packed: PackedTensor, x: np.ndarray, threads: int) -> np.ndarray:
    """Return the product float32[n, rows] with x float32[n, columns]."""
    rows = rows_of(packed)
    x = in_kernel_order(x, rows)
    sums = np.empty((len(x), packed.shape[0]), np.float32)

    def work(start: int, stop: int) -> None:
        if len(x) <= _FLOAT_PASSES:
            for column, found in zip(x, sums, strict=True):
                kernels.float_product(rows, column, found, start, stop)
            return
        room = aligned((kernels.ROWS_AT_ONCE, x.shape[1]), np.float32)
        for n in range(0, len(x), _FLOAT_COLUMNS):
            some = slice(n, n + _FLOAT_COLUMNS)
            partial = np.empty((kernels.ROWS_AT_ONCE, len(x[some])), np.float32)
            kernels.float_products(rows, x[some], room, partial, sums[some], start, stop)

    over_rows(work, packed.shape[0], threads)
    sums *= _HALF_SCALE
    sums *= packed.scales[:, 0]
    return sums


def integer_product(
    packed: PackedTensor, steps: np.ndarray, factor: np.ndarray, activations: str, threads: int
) -> np.ndarray:
    """Return the product float32[n, rows] with whole numbers float32[n, columns], times factor."""
    rows = rows_of(packed)
    x = planes(steps, activations)
    sums = _integer_sums(rows, x, offset(packed.scheme), packed.shape[0], threads)
    if activations == "int16":
        sums = PLANE_RADIX * sums[0::2] + sums[1::2]
    y = sums.astype(np.float32)
    y *= np.float32(packed.scheme.minifloat.min_subnormal)
    y *= factor[:, None]
    y *= packed.scales[:, 0]
    return y


def _integer_sums(rows, x: np.ndarray, added: int, count: int, threads: int) -> np.ndarray:
    """int64[n, rows]: sums of weight steps times x int8[n, columns]."""
    sums = np.empty((len(x), count), np.int64)
    sums[:] = -added * x.sum(axis=1, dtype=np.int64)[:, None]
    x = in_kernel_order(x, rows)

    def work(start: int, stop: int) -> None:
        for n in range(0, len(x), _INTEGER_COLUMNS):
            some = slice(n, n + _INTEGER_COLUMNS)
            kernels.integer_products(rows, tuple(x[some]), tuple(sums[some]), start, stop)

    over_rows(work, count, threads)
    return sums
