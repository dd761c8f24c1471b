"""Products of packed rows with x by the AVX2 kernels: operands, and passes over the rows."""

from __future__ import annotations

import numpy as np

from amssim._threads import over_rows
from amssim.cpu import kernels
from amssim.cpu.activations import Quantized
from amssim.cpu.layouts import LAYOUTS, rows_of
from amssim.cpu.memory import aligned
from amssim.cpu.operands import floats, integers
from amssim.tensor.packed import PackedTensor

# Columns of x that share a pass over the weights; each width is compiled on its own. Of int16, four
# with 4096 items each are what the first cache holds.
_PASS_WIDTHS = {"int8": (8, 4, 2, 1), "int16": (4, 2, 1)}
# Up to here one pass per column is faster than decoding rows to memory, by measurement.
_FLOAT_PASSES = 2
# Wider batches are taken in parts whose x stays in the second cache. At 64 columns that is as fast
# as dequantising and BLAS; at 256 BLAS takes 0.7 of the time, with sums in an order of its own.
_FLOAT_COLUMNS = 64


def float_product(packed: PackedTensor, x: np.ndarray, threads: int) -> np.ndarray:
    """Return the product float32[rows, n] with x float32[n, columns]."""
    rows = rows_of(packed)
    x = floats(x, packed.scheme)
    y = np.empty((packed.shape[0], len(x)), np.float32)

    def passes(start: int, stop: int) -> None:
        for n, column in enumerate(x):
            kernels.float_product(rows, packed.scales, column, n, y, start, stop)

    def by_threes(start: int, stop: int) -> None:
        room = aligned((kernels.ROWS_AT_ONCE, x.shape[1]), np.float32)
        for n in range(0, len(x), _FLOAT_COLUMNS):
            width = min(_FLOAT_COLUMNS, len(x) - n)
            partial = np.empty((kernels.ROWS_AT_ONCE, width), np.float32)
            kernels.float_products(rows, packed.scales, x, n, room, partial, y, start, stop)

    over_rows(passes if len(x) <= _FLOAT_PASSES else by_threes, packed.shape[0], threads)
    return y


def integer_product(packed: PackedTensor, x: Quantized, kind: str, threads: int) -> np.ndarray:
    """Return the product float32[rows, n] with n columns quantised to ``kind``."""
    rows, scheme = rows_of(packed), packed.scheme
    columns, sums = integers(x.steps, scheme, kind)
    unit, base = np.float32(scheme.minifloat.min_subnormal), -LAYOUTS[scheme].OFFSET * sums
    y = np.empty((packed.shape[0], len(columns)), np.float32)

    def work(start: int, stop: int) -> None:
        room = np.empty(_PASS_WIDTHS[kind][0], np.int64)
        numbers = kernels.INTEGER_CHUNK[kind], unit, base, x.scale, room, y
        n = 0
        while n < len(columns):
            width = next(w for w in _PASS_WIDTHS[kind] if w <= len(columns) - n)
            some = tuple(columns[n : n + width])
            kernels.integer_products(rows, packed.scales, some, n, *numbers, start, stop)
            n += width

    over_rows(work, packed.shape[0], threads)
    return y
