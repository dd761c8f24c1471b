"""FP4.25 for the AVX2 kernels, as it is stored: 16 half-words of tops and one of shared bits.

The four top bits of a weight, its sign included, index a table; the shared bit chooses between
two. The vectors are the lower and the upper four bits of each byte.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from amssim._jit import leaf
from amssim.cpu.operands import VectorForm, magnitudes_in_steps
from amssim.cpu.simd import (
    READ_AHEAD_WORDS,
    blend,
    constant,
    load_bytes,
    prefetch,
    pshufb,
    psrlw,
    spread_bits,
)
from amssim.layout import layout
from amssim.scheme import FP4_25

_WORDS, _COLUMNS = layout(FP4_25).block_words, layout(FP4_25).block_weights
_BYTES = 32
_MAGNITUDES = magnitudes_in_steps(FP4_25.minifloat)
_OFFSET = _MAGNITUDES[-1]


class Blocks(NamedTuple):
    """Rows as they are stored: ``words`` uint16[rows, 17 * blocks]."""

    words: np.ndarray


def _vector_columns(columns: int) -> np.ndarray:
    """Return int[padded columns]: the column of each weight of a row, vector by vector."""
    blocks = -(-columns // _COLUMNS)
    return np.arange(blocks * _COLUMNS).reshape(blocks, _BYTES, 2).swapaxes(1, 2).reshape(-1)


def _biased(magnitudes: list[int]) -> list[int]:
    return [_OFFSET + v for v in magnitudes] + [_OFFSET - v for v in magnitudes]


_EVEN, _ODD = constant(_biased(_MAGNITUDES[0::2])), constant(_biased(_MAGNITUDES[1::2]))
# The upper byte of a half without its last bit, the shared one: sign, exponent, mantissa.
_UPPER = constant([2 * i for i in range(8)] + [2 * i - 128 for i in range(8)])
_ZERO = constant([0])


@leaf
def _parts(row, b):
    """Indices of the lower and upper nibbles, and the shared bit of each as a mask."""
    at = _WORDS * b
    prefetch(row, at + READ_AHEAD_WORDS)
    tops = load_bytes(row, at)
    return tops & 15, psrlw(tops, 4) & 15, spread_bits(row[at + 16])


@leaf
def _integers(row, b):
    """See `amssim.cpu.kernels.integers`."""
    low, high, shared = _parts(row, b)
    return (
        blend(shared, pshufb(_ODD(), low), pshufb(_EVEN(), low)),
        blend(shared, pshufb(_ODD(), high), pshufb(_EVEN(), high)),
    )


@leaf
def _halves(row, b):
    """See `amssim.cpu.kernels.halves`; the lower byte is 0."""
    low, high, shared = _parts(row, b)
    last = shared & 1
    return (
        (_ZERO(), pshufb(_UPPER(), low) | last),
        (_ZERO(), pshufb(_UPPER(), high) | last),
    )


#: What the kernels ask of FP4.25.
FORM = VectorForm(
    FP4_25, Blocks, _WORDS, _COLUMNS, _OFFSET, Blocks, _vector_columns, _integers, _halves
)
