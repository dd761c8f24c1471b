"""Products of packed rows with x by AVX2 vectors; x lies in the order of `operands`.

All kernels take the rows ``start`` to ``stop``. The sum over a row is cut into chunks of whole
tiles, whose sums are added at the end of each.
"""

from __future__ import annotations

import numpy as np

from amssim._jit import jit, leaf
from amssim.cpu.columns import (
    add_half_products,
    add_integer_products,
    no_sums,
    store_halves,
    totals,
)
from amssim.cpu.layouts import columns_of, halves, integers, words_of
from amssim.cpu.simd import fma, load_floats, no_floats, sum_floats

#: Of the integer kernel, by the dtype of x: a lane takes four products from every 32 columns, each
#: at most 120 * 127 or 120 * 32512, and their sum stays below 2^31.
INTEGER_CHUNK = {"int8": 786_432, "int16": 4224}
#: Of the float kernels: 3 rows of weights and a column of x, 24 kB, stay in the first cache.
FLOAT_CHUNK = 1536
#: Rows that `float_products` takes at once: 12 registers of sums, 4 each, leave room for x.
ROWS_AT_ONCE = 3
_HALF_UNIT = np.float32(2.0**14)  # `halves` are 2^-14 times the weights


@jit
def integer_products(rows, scales, x, n, chunk, unit, base, factor, room, y, start, stop):
    """y[r, n + c] = float32(sum) unit factor[n + c] scales[r], rounded after each step.

    The sum is that of w[r, k] x[c][k] over k, in units of the smallest value: the kernel adds up
    (w + offset) x to ``base``, which is minus the offset times the sum of x.

    rows    fp533.Rows | fp425.Rows
    scales  float32[rows, 1]
    x       tuple of int8[padded columns] | of int16[padded columns]  see `operands.integers`
    chunk   int                                                       see `INTEGER_CHUNK`
    unit    float32                                                   a power of two
    base    int64[columns of x]
    factor  float32[columns of x]
    room    int64[length of x]
    y       float32[rows, columns of x]                               written, as many as x has
    """
    count = rows.words.shape[1] // words_of(rows)
    tiles = chunk // columns_of(rows)
    for r in range(start, stop):
        row = rows.words[r]
        for c in range(len(x)):
            room[c] = base[n + c]
        for first in range(0, count, tiles):
            found = no_sums(x)
            for t in range(first, min(first + tiles, count)):
                k = columns_of(rows) * t
                found = add_integer_products(found, integers(rows, row, t), x, k)
            total = totals(found, x)
            for c in range(len(x)):
                room[c] += total[c]
        for c in range(len(x)):
            value = np.float32(np.float32(room[c]) * unit)
            y[r, n + c] = np.float32(value * factor[n + c]) * scales[r, 0]


@jit
def float_product(rows, scales, x, n, y, start, stop):
    """y[r, n] = scales[r] sum_k w[r, k] x[k]: 32 interleaved sums per chunk, added at its end.

    rows    fp533.Rows | fp425.Rows
    scales  float32[rows, 1]
    x       float32[padded columns]
    y       float32[rows, columns of x]  written in column n
    """
    count = rows.words.shape[1] // words_of(rows)
    chunk = FLOAT_CHUNK // columns_of(rows)
    for r in range(start, stop):
        row = rows.words[r]
        total = np.float32(0)
        for first in range(0, count, chunk):
            found = no_floats()
            for t in range(first, min(first + chunk, count)):
                found = add_half_products(found, halves(rows, row, t), x, columns_of(rows) * t)
            total += sum_floats(found)
        y[r, n] = np.float32(total * _HALF_UNIT) * scales[r, 0]


@jit
def float_products(rows, scales, x, n, room, partial, y, start, stop):
    """y[r, n + c] = scales[r] sum_k w[r, k] x[n + c, k], each in the order of `float_product`.

    Three rows are decoded once and meet every column of x; at the end of the range some repeat.

    rows     fp533.Rows | fp425.Rows
    scales   float32[rows, 1]
    x        float32[columns of x, padded columns]
    room     float32[3, padded columns]
    partial  float32[3, c]                         as many columns c as are wanted
    y        float32[rows, columns of x]           written in columns n to n + c - 1
    """
    for r in range(start, stop, ROWS_AT_ONCE):
        for i in range(ROWS_AT_ONCE):
            _decode(rows, min(r + i, stop - 1), room[i])
        partial[:] = 0
        for first in range(0, x.shape[1], FLOAT_CHUNK):
            last = min(first + FLOAT_CHUNK, x.shape[1])
            for c in range(partial.shape[1]):
                sums = _chunk_sums(room[0], room[1], room[2], x[n + c], first, last)
                for i in range(ROWS_AT_ONCE):
                    partial[i, c] += sums[i]
        for i in range(min(ROWS_AT_ONCE, stop - r)):
            for c in range(partial.shape[1]):
                total = np.float32(partial[i, c] * _HALF_UNIT)
                y[r + i, n + c] = total * scales[r + i, 0]


@leaf
def _chunk_sums(v, w, z, x, first, last):
    """sum_k v[k] x[k], and with w and z, for k from first to last."""
    a = b = c = no_floats()
    for k in range(first, last, 32):
        values = load_floats(x, k)
        a = fma(load_floats(v, k), values, a)
        b = fma(load_floats(w, k), values, b)
        c = fma(load_floats(z, k), values, c)
    return sum_floats(a), sum_floats(b), sum_floats(c)


@jit
def _decode(rows, r, to):
    """to[k] = 2^-14 w[r, k] in kernel order, float32[padded columns]."""
    row = rows.words[r]
    for t in range(rows.words.shape[1] // words_of(rows)):
        store_halves(halves(rows, row, t), to, columns_of(rows) * t)
