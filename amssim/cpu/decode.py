"""Packed words to vectors of weights, one tile or block at a time: what differs by scheme.

The kernels call `words_of`, `columns_of`, `integers` and `halves`; the type of their first
argument, `Tiles` or `Blocks`, picks the code when a kernel is compiled. Tables are made from the
values of the number format.
"""

from __future__ import annotations

from numba.extending import overload

from amssim._jit import leaf
from amssim.cpu import tiles
from amssim.cpu.simd import blend, constant, load_bytes, pshufb, psignb, psllw, psrlw, spread_bits
from amssim.scheme import FP4_25, FP5_33, Scheme

_SIGN = -128  # bit 7 of a byte


def steps(scheme: Scheme) -> list[int]:
    """Value of every code of sign 0 in units of the smallest one."""
    element = scheme.minifloat
    return [round(v / element.min_subnormal) for v in element.values[: element.magnitudes].tolist()]


def offset(scheme: Scheme) -> int:
    """What `integers` adds to weights to make them non-negative: the largest one."""
    return steps(scheme)[-1]


# --- FP5.33: a magnitude has 4 bits and the shared one, the sign is apart ---------------------------

_EVEN, _ODD = (constant(steps(FP5_33)[bit::2]) for bit in (0, 1))
_LARGEST = offset(FP5_33)


@leaf
def _tile_planes(row, t):
    at = tiles.TILE_WORDS * t
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
    return psignb(magnitude, signs | 1) + _LARGEST


@leaf
def _tile_integers(row, t):
    a, b, c, bits = _tile_planes(row, t)
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
def _tile_halves(row, t):
    a, b, c, bits = _tile_planes(row, t)
    first, second = psllw(bits, 1) & _SIGN, bits & _SIGN
    return (
        (first, _upper(a & 15, psllw(bits, 7))),
        (first, _upper(psrlw(a, 4) & 15, psllw(bits, 6))),
        (first, _upper(b & 15, psllw(bits, 5))),
        (second, _upper(psrlw(b, 4) & 15, psllw(bits, 4))),
        (second, _upper(c & 15, psllw(bits, 3))),
        (second, _upper(psrlw(c, 4) & 15, psllw(bits, 2))),
    )


# --- FP4.25: 4 top bits, sign included, index a table; a half's lower byte is 0 -----------------------


def _with_signs(magnitudes: list[int]) -> list[int]:
    return [_OFFSET_4 + v for v in magnitudes] + [_OFFSET_4 - v for v in magnitudes]


_OFFSET_4 = offset(FP4_25)
_BIASED_EVEN, _BIASED_ODD = (constant(_with_signs(steps(FP4_25)[bit::2])) for bit in (0, 1))
# sign to bit 7, exponent and upper mantissa to bits 3-1; the shared bit is bit 0
_ZERO = constant([0])
_UPPER = constant([2 * i for i in range(8)] + [2 * i - 128 for i in range(8)])


@leaf
def _block_parts(row, b):
    """Indices of the lower and upper nibbles, and the shared bit of each as a mask."""
    at = tiles.BLOCK_WORDS * b
    tops = load_bytes(row, at)
    return tops & 15, psrlw(tops, 4) & 15, spread_bits(row[at + 16])


@leaf
def _block_integers(row, b):
    low, high, shared = _block_parts(row, b)
    return (
        blend(shared, pshufb(_BIASED_ODD(), low), pshufb(_BIASED_EVEN(), low)),
        blend(shared, pshufb(_BIASED_ODD(), high), pshufb(_BIASED_EVEN(), high)),
    )


@leaf
def _block_halves(row, b):
    low, high, shared = _block_parts(row, b)
    last = shared & 1
    return (
        (_ZERO(), pshufb(_UPPER(), low) | last),
        (_ZERO(), pshufb(_UPPER(), high) | last),
    )


# --- what kernels call -----------------------------------------------------------------------------


def words_of(rows):
    """Half-words of a tile or block."""


def columns_of(rows):
    """Weights of a tile or block."""


def integers(rows, row, t):
    """Weights of tile ``t`` of ``row``, plus `offset`, in smallest units: vectors of 32 uint8."""


def halves(rows, row, t):
    """Weights of tile ``t`` of ``row`` as IEEE halves times 2^-14: pairs of vectors (low, high byte).

    A weight's sign, exponent and mantissa bits lie where a half has them. Its exponent bias of 1
    stands for the half's 15, subnormals included, so that the half is the value times 2^-14.
    """


def _is_tiles(rows) -> bool:
    return rows.instance_class is tiles.Tiles


@overload(words_of)
def _words_of(rows):
    words = tiles.TILE_WORDS if _is_tiles(rows) else tiles.BLOCK_WORDS
    return lambda rows: words


@overload(columns_of)
def _columns_of(rows):
    columns = tiles.TILE_COLUMNS if _is_tiles(rows) else tiles.BLOCK_COLUMNS
    return lambda rows: columns


@overload(integers, inline="always")
def _integers(rows, row, t):
    if _is_tiles(rows):
        return lambda rows, row, t: _tile_integers(row, t)
    return lambda rows, row, t: _block_integers(row, t)


@overload(halves, inline="always")
def _halves(rows, row, t):
    if _is_tiles(rows):
        return lambda rows, row, t: _tile_halves(row, t)
    return lambda rows, row, t: _block_halves(row, t)
