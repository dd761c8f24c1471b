"""FP5.33 as vectors: one tile of `amssim.cpu.tiles` at a time.

A magnitude has four top bits, which index a table, and the shared bit, which chooses between two;
the sign is apart.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from amssim._jit import leaf
from amssim.cpu import tiles
from amssim.cpu.memory import READ_AHEAD_WORDS
from amssim.cpu.simd import blend, constant, load_bytes, prefetch, pshufb, psignb, psllw, psrlw
from amssim.cpu.steps import magnitudes_in_steps
from amssim.scheme import FP5_33

WORDS, COLUMNS = tiles.WORDS, tiles.COLUMNS
vector_columns = tiles.vector_columns
_MAGNITUDES = magnitudes_in_steps(FP5_33.minifloat)
_EVEN, _ODD = constant(_MAGNITUDES[0::2]), constant(_MAGNITUDES[1::2])
OFFSET = _MAGNITUDES[-1]
_SIGN = -128  # bit 7 of a byte


class Rows(NamedTuple):
    """Rows in tiles: ``words`` uint16[rows, 64 * tiles]."""

    words: np.ndarray


@leaf
def _planes(row, t):
    at = WORDS * t
    prefetch(row, at + READ_AHEAD_WORDS)
    prefetch(row, at + READ_AHEAD_WORDS + 32)
    return (
        load_bytes(row, at),
        load_bytes(row, at + 16),
        load_bytes(row, at + 32),
        load_bytes(row, at + 48),
    )


@leaf
def _integer(index, shared, signs):
    """Weight plus offset from bits 0-3 of ``index`` and bit 7 of ``shared`` and ``signs``."""
    magnitude = blend(shared, pshufb(_ODD(), index), pshufb(_EVEN(), index))
    return psignb(magnitude, signs | 1) + OFFSET


@leaf
def integers(row, t):
    """See `amssim.cpu.layouts.integers`."""
    a, b, c, bits = _planes(row, t)
    first = psllw(bits, 1)
    return (
        _integer(a & 15, first, psllw(bits, 7)),
        _integer(psrlw(a, 4) & 15, first, psllw(bits, 6)),
        _integer(b & 15, first, psllw(bits, 5)),
        _integer(psrlw(b, 4) & 15, bits, psllw(bits, 4)),
        _integer(c & 15, bits, psllw(bits, 3)),
        _integer(psrlw(c, 4) & 15, bits, psllw(bits, 2)),
    )


@leaf
def _upper(magnitude, signs):
    """Upper byte of a half: sign, three zero bits, exponent, upper mantissa."""
    return magnitude | (signs & _SIGN)


@leaf
def halves(row, t):
    """See `amssim.cpu.layouts.halves`."""
    a, b, c, bits = _planes(row, t)
    first, second = psllw(bits, 1) & _SIGN, bits & _SIGN
    return (
        (first, _upper(a & 15, psllw(bits, 7))),
        (first, _upper(psrlw(a, 4) & 15, psllw(bits, 6))),
        (first, _upper(b & 15, psllw(bits, 5))),
        (second, _upper(psrlw(b, 4) & 15, psllw(bits, 4))),
        (second, _upper(c & 15, psllw(bits, 3))),
        (second, _upper(psrlw(c, 4) & 15, psllw(bits, 2))),
    )
