"""The word order in which the AVX2 kernels read FP5.33, and its map to the stored one and back.

64 half-words of a row, 192 weights, become a *tile* of four planes of 32 bytes, so that one vector
operation meets the same field of 32 weights. Lane i of the planes holds groups i and 32 + i:

    plane 0   bits 0-3 weight 0, bits 4-7 weight 1 of group i: exponent and upper mantissa
    plane 1   bits 0-3 weight 2 of group i,  bits 4-7 weight 0 of group 32 + i
    plane 2   bits 0-3 weight 1,             bits 4-7 weight 2 of group 32 + i
    plane 3   bits 0-5 the six signs in that order, bits 6 and 7 the two shared bits

In that order the weights are six *vectors* of 32: weight m of group 32 h + i is in vector 3 h + m.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from amssim._jit import jit
from amssim.cpu.memory import aligned
from amssim.scheme import FP5_33

#: Half-words and weights of a tile.
WORDS, COLUMNS = 64, 192
_LANES = 32
_GROUP = FP5_33.k
_NIBBLE, _SIGN_AT, _SHARED_AT = 4, 4, 15
_SIGNS_PLANE = 3


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


def vector_columns(columns: int) -> np.ndarray:
    """Return int[padded columns]: the column of each weight of a row, vector by vector."""
    tiles = -(-columns // COLUMNS)
    return np.arange(tiles * COLUMNS).reshape(tiles, 2, _LANES, _GROUP).swapaxes(2, 3).reshape(-1)


def to_tiles(words: np.ndarray) -> np.ndarray:
    """uint16[rows, half-words] of FP5.33 -> uint16[rows, 64 * tiles], padded with zeros."""
    tiles = -(-words.shape[1] // WORDS)
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
                first = WORDS * t + _LANES * np.int64(group)
                mask = np.uint16((1 << np.int64(width)) - 1)
                for i in range(min(_LANES, words.shape[1] - first)):
                    field = np.uint16(np.uint16(words[r, first + i] >> source) & mask)
                    planes[r, t, plane, i] |= np.uint8(np.uint16(field << target))
