"""Products of packed rows with x by AVX2 vectors; x lies in the order of `operands`.

All kernels take the rows ``start`` to ``stop``. The sum over a row is cut into chunks of whole
tiles, whose sums are added at the end of each. One text serves both forms: `words_of`,
`columns_of`, `integers` and `halves` become those of the form when a kernel is compiled.
"""

from __future__ import annotations

import numpy as np
from numba.extending import overload

from amssim._jit import jit, leaf
from amssim.cpu import fp425, fp533
from amssim.cpu.simd import fma, load_floats, no_floats, sum_floats
from amssim.cpu.sums import (
    add_half_products,
    add_integer_products,
    no_sums,
    store_halves,
    totals,
)

#: The form of each scheme that has one.
VECTOR_FORMS = {form.scheme: form for form in (fp533.FORM, fp425.FORM)}
_FORM_OF_ROWS = {form.rows: form for form in VECTOR_FORMS.values()}

#: Of the integer kernel, by the dtype of x: a lane takes four products from every 32 columns, each
#: at most 120 * 127 or 120 * 32512, and their sum stays below 2^31.
INTEGER_CHUNK = {"int8": 786_432, "int16": 4224}
#: Of the float kernels: 3 rows of weights and one of x, 24 kB, stay in the first cache.
FLOAT_CHUNK = 1536
#: Rows that `add_up_floats_by_threes` takes: 12 registers of sums, 4 each, leave room for x.
ROWS_AT_ONCE = 3
_HALF_UNIT = np.float32(2.0**14)  # `halves` are 2^-14 times the weights


def words_of(rows):
    """Half-words of a tile."""


def columns_of(rows):
    """Weights of a tile."""


def integers(rows, row, t):
    """Weights of tile ``t`` of ``row`` in units of the smallest value, plus the form's offset.

    The offset is the largest weight, so that the vectors are of 32 uint8.
    """


def halves(rows, row, t):
    """Weights of tile ``t`` of ``row`` times 2^-14: pairs of vectors, low and high bytes of halves.

    Sign, exponent and mantissa bits lie where an IEEE half has them. Their exponent bias of 1 then
    stands for the half's 15, in subnormals too, so that the half is the weight times 2^-14.
    """


@overload(words_of)
def _words_of(rows):
    words = _FORM_OF_ROWS[rows.instance_class].tile_words
    return lambda rows: words


@overload(columns_of)
def _columns_of(rows):
    columns = _FORM_OF_ROWS[rows.instance_class].tile_columns
    return lambda rows: columns


@overload(integers, jit_options={"forceinline": True})
def _integers(rows, row, t):
    function = _FORM_OF_ROWS[rows.instance_class].integers
    return lambda rows, row, t: function(row, t)


@overload(halves, jit_options={"forceinline": True})
def _halves(rows, row, t):
    function = _FORM_OF_ROWS[rows.instance_class].halves
    return lambda rows, row, t: function(row, t)


@jit
def add_up_integers(rows, scales, x, n, chunk, unit, base, factor, room, y, start, stop):
    """y[n + c, r] = float32(sum) unit factor[n + c] scales[r], rounded after each step.

    The sum is that of w[r, k] x[c][k] over k, in units of the smallest value: the kernel adds up
    (w + offset) x to ``base``, which is minus the offset times the sum of x.

    rows    fp533.Tiles | fp425.Blocks
    scales  float32[rows, 1]
    x       tuple of int8[padded columns] | of int16[padded columns]  see `operands.integer_operand`
    chunk   int                                                       see `INTEGER_CHUNK`
    unit    float32                                                   a power of two
    base    int64[batch]
    factor  float32[batch]
    room    int64[length of x]
    y       float32[batch, rows]                                      written in rows n to n + c
    """
    count = rows.words.shape[1] // words_of(rows)
    tiles = chunk // columns_of(rows)
    for r in range(start, stop):
        row = rows.words[r]
        for c in range(len(x)):
            room[c] = base[n + c]
        for first in range(0, count, tiles):
            sums = no_sums(x)
            for t in range(first, min(first + tiles, count)):
                k = columns_of(rows) * t
                sums = add_integer_products(sums, integers(rows, row, t), x, k)
            total = totals(sums, x)
            for c in range(len(x)):
                room[c] += total[c]
        for c in range(len(x)):
            value = np.float32(np.float32(room[c]) * unit)
            y[n + c, r] = np.float32(value * factor[n + c]) * scales[r, 0]


@jit
def add_up_floats(rows, scales, x, n, y, start, stop):
    """y[n, r] = scales[r] sum_k w[r, k] x[k]: 32 interleaved sums per chunk, added at its end.

    rows    fp533.Tiles | fp425.Blocks
    scales  float32[rows, 1]
    x       float32[padded columns]  one row of the batch
    y       float32[batch, rows]     written in row n
    """
    count = rows.words.shape[1] // words_of(rows)
    chunk = FLOAT_CHUNK // columns_of(rows)
    for r in range(start, stop):
        row = rows.words[r]
        total = np.float32(0)
        for first in range(0, count, chunk):
            sums = no_floats()
            for t in range(first, min(first + chunk, count)):
                sums = add_half_products(sums, halves(rows, row, t), x, columns_of(rows) * t)
            total += sum_floats(sums)
        y[n, r] = np.float32(total * _HALF_UNIT) * scales[r, 0]


@jit
def add_up_floats_by_threes(rows, scales, x, n, room, partial, y, start, stop):
    """y[n + c, r] = scales[r] sum_k w[r, k] x[n + c, k], each in the order of `add_up_floats`.

    Three rows are decoded once and meet every row of x; at the end of the range some repeat.

    rows     fp533.Tiles | fp425.Blocks
    scales   float32[rows, 1]
    x        float32[batch, padded columns]
    room     float32[3, padded columns]
    partial  float32[3, c]                   as many rows c of x as are wanted
    y        float32[batch, rows]            written in rows n to n + c - 1
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
                y[n + c, r + i] = total * scales[r + i, 0]


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
