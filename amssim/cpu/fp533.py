"""FP5.33 for the AVX2 kernels: the word order in which they read it, and its vectors.

64 half-words of a row, 192 weights, become a *tile* of four planes of 32 bytes, so that one vector
operation meets the same field of 32 weights. Lane i of the planes holds groups i and 32 + i:

    plane 0   bits 0-3 weight 0, bits 4-7 weight 1 of group i: exponent and upper mantissa
    plane 1   bits 0-3 weight 2 of group i,  bits 4-7 weight 0 of group 32 + i
    plane 2   bits 0-3 weight 1,             bits 4-7 weight 2 of group 32 + i
    plane 3   bits 0-5 the six signs in that order, bits 6 and 7 the two shared bits

In that order the weights are six *vectors* of 32: weight m of group 32 h + i is in vector 3 h + m.
A magnitude has four top bits, which index a table, and the shared bit, which chooses between two
tables; the sign is apart.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from amssim._jit import jit, leaf
from amssim.cpu.operands import VectorForm, aligned, magnitudes_in_steps
from amssim.cpu.simd import (
    READ_AHEAD_WORDS,
    blend,
    constant,
    load_bytes,
    prefetch,
    pshufb,
    psignb,
    psllw,
    psrlw,
)
from amssim.scheme import FP5_33

#: Half-words and weights of a tile.
TILE_WORDS, COLUMNS = 64, 192
_LANES = 32
_GROUP = FP5_33.k
_NIBBLE, _SIGN_AT, _SHARED_AT = 4, 4, 15
_SIGNS_PLANE = 3
_MAGNITUDES = magnitudes_in_steps(FP5_33.minifloat)
_EVEN, _ODD = constant(_MAGNITUDES[0::2]), constant(_MAGNITUDES[1::2])
_OFFSET = _MAGNITUDES[-1]
_SIGN = -128  # bit 7 of a byte


class Tiles(NamedTuple):
    """Rows in tiles: ``words`` uint16[rows, 64 * tiles]."""

    words: np.ndarray


# --- the order of the words ---------------------------------------------------------------------


class Move(NamedTuple):
    """``width`` bits from bit ``source`` of a group's half-word to bit ``target`` of a plane."""

    group: int  #: 0 for groups 0-31 of the tile, 1 for groups 32-63
    source: int
    width: int
    plane: int
    target: int


def _moves() -> tuple[Move, ...]:
    top = FP5_33.top_bits
    moves = []
    for vector in range(2 * _GROUP):
        group, member = divmod(vector, _GROUP)
        plane, upper = divmod(vector, 2)
        moves.append(Move(group, top * member, _NIBBLE, plane, _NIBBLE * upper))
        moves.append(Move(group, top * member + _SIGN_AT, 1, _SIGNS_PLANE, vector))
    moves += [Move(group, _SHARED_AT, 1, _SIGNS_PLANE, 2 * _GROUP + group) for group in range(2)]
    return tuple(moves)


MOVES = _moves()


def _vector_columns(columns: int) -> np.ndarray:
    """Return int[padded columns]: the column of each weight of a row, vector by vector."""
    tiles = -(-columns // COLUMNS)
    return np.arange(tiles * COLUMNS).reshape(tiles, 2, _LANES, _GROUP).swapaxes(2, 3).reshape(-1)


def to_tiles(words: np.ndarray) -> np.ndarray:
    """uint16[rows, half-words] of FP5.33 -> uint16[rows, 64 * tiles], padded with zeros."""
    tiles = -(-words.shape[1] // TILE_WORDS)
    planes = aligned((len(words), tiles, 4, _LANES), np.uint8)
    _move(words, np.array(MOVES, np.uint16), planes)
    return planes.reshape(len(words), -1).view(np.uint16)


def from_tiles(tiled: np.ndarray, count: int) -> np.ndarray:
    """The inverse of `to_tiles`: the first ``count`` half-words of each row."""
    rows = len(tiled)
    planes = tiled.view(np.uint8).reshape(rows, -1, 4, _LANES).astype(np.uint16)
    groups = np.zeros((rows, planes.shape[1], 2, _LANES), np.uint16)
    for move in MOVES:
        field = (planes[:, :, move.plane] >> move.target) & ((1 << move.width) - 1)
        groups[:, :, move.group] |= field << move.source
    return groups.reshape(rows, -1)[:, :count].copy()


@jit
def _move(words, moves, planes):
    """planes = the fields of words, each where its move puts it, 0 elsewhere.

    words   uint16[rows, half-words]
    moves   uint16[n, 5]                  the fields of n `Move`
    planes  uint8[rows, tiles, 4, lanes]  written
    """
    for r in range(planes.shape[0]):
        for t in range(planes.shape[1]):
            planes[r, t] = 0
            for m in range(moves.shape[0]):
                group, source, width, plane, target = moves[m]
                first = TILE_WORDS * t + _LANES * np.int64(group)
                mask = np.uint16((1 << np.int64(width)) - 1)
                for i in range(min(_LANES, words.shape[1] - first)):
                    field = np.uint16(np.uint16(words[r, first + i] >> source) & mask)
                    planes[r, t, plane, i] |= np.uint8(np.uint16(field << target))


# --- the weights of a tile as vectors -------------------------------------------------------------


@leaf
def _planes(row, t):
    at = TILE_WORDS * t
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
    return psignb(magnitude, signs | 1) + _OFFSET


@leaf
def _integers(row, t):
    """See `amssim.cpu.kernels.integers`."""
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
def _halves(row, t):
    """See `amssim.cpu.kernels.halves`."""
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


#: What the kernels ask of FP5.33.
FORM = VectorForm(
    FP5_33,
    Tiles,
    TILE_WORDS,
    COLUMNS,
    _OFFSET,
    lambda words: Tiles(to_tiles(words)),
    _vector_columns,
    _integers,
    _halves,
)
