"""Products of packed rows with x by AVX2 vectors; x lies in kernel order, see `tiles`.

All kernels take the rows ``start`` to ``stop``. The sum over a row is cut into chunks of
`CHUNK_COLUMNS`, a whole number of tiles: in the integer kernel no 32-bit lane can overflow within
one, in the float kernels 12 kB of weights and x stay in the first cache.
"""

from __future__ import annotations

from amssim._jit import jit, leaf
from amssim.cpu.columns import (
    add_half_products,
    add_integer_products,
    no_sums,
    store_halves,
    totals,
)
from amssim.cpu.decode import columns_of, halves, integers, words_of
from amssim.cpu.simd import fma, load_floats, no_floats, sum_floats

CHUNK_COLUMNS = 1536
#: Rows that `float_products` takes at once: 12 registers of sums, 4 each, leave room for x.
ROWS_AT_ONCE = 3


@jit
def integer_products(rows, x, sums, start, stop):
    """sums[c][r] += sum_k (w[r, k] + offset) x[c][k], w in units of the smallest value.

    rows  Tiles | Blocks
    x     tuple of int8[padded columns]  -127 to 127
    sums  tuple of int64[rows]           written, one array per array of x
    """
    count = rows.words.shape[1] // words_of(rows)
    chunk = CHUNK_COLUMNS // columns_of(rows)
    for r in range(start, stop):
        row = rows.words[r]
        for first in range(0, count, chunk):
            found = no_sums(x)
            for t in range(first, min(first + chunk, count)):
                k = columns_of(rows) * t
                found = add_integer_products(found, integers(rows, row, t), x, k)
            total = totals(found)
            for c in range(len(x)):
                sums[c][r] += total[c]


@jit
def float_product(rows, x, sums, start, stop):
    """sums[r] = sum_k 2^-14 w[r, k] x[k]: 32 interleaved sums per chunk, added at its end.

    rows  Tiles | Blocks
    x     float32[padded columns]
    sums  float32[rows]            written
    """
    count = rows.words.shape[1] // words_of(rows)
    chunk = CHUNK_COLUMNS // columns_of(rows)
    for r in range(start, stop):
        row = rows.words[r]
        sums[r] = 0
        for first in range(0, count, chunk):
            found = no_floats()
            for t in range(first, min(first + chunk, count)):
                found = add_half_products(found, halves(rows, row, t), x, columns_of(rows) * t)
            sums[r] += sum_floats(found)


@jit
def float_products(rows, x, room, partial, sums, start, stop):
    """sums[n, r] = sum_k 2^-14 w[r, k] x[n, k], each in the order of `float_product`.

    Three rows are decoded once and meet every column of x; at the end of the range some repeat.

    rows     Tiles | Blocks
    x        float32[n, padded columns]
    room     float32[3, padded columns]
    partial  float32[3, n]
    sums     float32[n, rows]            written
    """
    for r in range(start, stop, ROWS_AT_ONCE):
        s, t = min(r + 1, stop - 1), min(r + 2, stop - 1)
        _decode(rows, r, room[0])
        _decode(rows, s, room[1])
        _decode(rows, t, room[2])
        partial[:] = 0
        for first in range(0, x.shape[1], CHUNK_COLUMNS):
            last = min(first + CHUNK_COLUMNS, x.shape[1])
            for n in range(x.shape[0]):
                a, b, c = _chunk_sums(room[0], room[1], room[2], x[n], first, last)
                partial[0, n] += a
                partial[1, n] += b
                partial[2, n] += c
        for n in range(x.shape[0]):
            sums[n, r], sums[n, s], sums[n, t] = partial[0, n], partial[1, n], partial[2, n]


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
