"""Rows as the AVX2 kernels read them, and where each column of x goes to meet its weight.

FP4.25 is read as it is stored. FP5.33 has a word order of its own: 64 half-words of a row, 192
weights, become a *tile* of four planes of 32 bytes, so that one vector operation meets the same
field of 32 weights. Lane i of the planes holds groups i and 32 + i of the tile:

    plane 0   bits 0-3 weight 0, bits 4-7 weight 1 of group i: exponent and upper mantissa
    plane 1   bits 0-3 weight 2 of group i,  bits 4-7 weight 0 of group 32 + i
    plane 2   bits 0-3 weight 1,             bits 4-7 weight 2 of group 32 + i
    plane 3   bits 0-5 the six signs in that order, bits 6 and 7 the two shared bits

The kernel takes the six weights of all lanes in that order: 6 vectors of 32 columns.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from amssim.packed import PackedTensor
from amssim.scheme import FP5_33

_LANES = 32
_GROUP = FP5_33.k
_NIBBLE, _SIGN_AT, _SHARED_AT = 4, 4, 15
_ROWS_AT_ONCE = 64  # 180 kB of a 4096-column matrix: the passes of `to_tiles` stay in L2


class Tiles(NamedTuple):
    """FP5.33 in tiles: ``words`` uint16[rows, 64 * tiles]."""

    words: np.ndarray


class Blocks(NamedTuple):
    """FP4.25 as it is stored: ``words`` uint16[rows, 17 * blocks]."""

    words: np.ndarray


class Order(NamedTuple):
    """Columns of a tile or block in kernel order: C-ordered ``shape`` with its ``axes`` permuted."""

    shape: tuple[int, ...]
    axes: tuple[int, ...]


class Move(NamedTuple):
    """``width`` bits from bit ``source`` of a group's half-word to bit ``target`` of a plane."""

    group: int  #: 0 for groups 0-31 of the tile, 1 for groups 32-63
    source: int
    width: int
    plane: int
    target: int


TILE_WORDS, TILE_COLUMNS = 64, 192
BLOCK_WORDS, BLOCK_COLUMNS = 17, 64
# tile column 3 (32 h + i) + m is item i of vector 3 h + m
TILE_ORDER = Order(shape=(2, _LANES, _GROUP), axes=(0, 2, 1))
# block column 4 g + 2 u + n is nibble n of byte 2 g + u
BLOCK_ORDER = Order(shape=(_LANES, 2), axes=(1, 0))


def _moves() -> tuple[Move, ...]:
    top = FP5_33.top_bits
    moves = []
    for vector in range(2 * _GROUP):
        group, member = divmod(vector, _GROUP)
        plane, upper = divmod(vector, 2)
        moves.append(Move(group, top * member, _NIBBLE, plane, _NIBBLE * upper))
        moves.append(Move(group, top * member + _SIGN_AT, 1, 3, vector))
    moves += [Move(group, _SHARED_AT, 1, 3, 2 * _GROUP + group) for group in range(2)]
    return tuple(moves)


MOVES = _moves()


def rows_of(packed: PackedTensor) -> Tiles | Blocks:
    """Return the rows of a tensor of a published scheme for the kernels; tiles are made once."""
    if packed.scheme != FP5_33:
        return Blocks(packed.words)
    if "cpu tiles" not in packed.derived:
        packed.derived["cpu tiles"] = to_tiles(packed.words)
    return Tiles(packed.derived["cpu tiles"])


def to_tiles(words: np.ndarray) -> np.ndarray:
    """uint16[rows, half-words] of FP5.33 -> uint16[rows, 64 * tiles], padded with zeros."""
    rows, count = words.shape
    tiles = -(-count // TILE_WORDS)
    planes = np.zeros((rows, tiles, 4, _LANES), np.uint8)
    for start in range(0, rows, _ROWS_AT_ONCE):
        part = words[start : start + _ROWS_AT_ONCE]
        part = np.pad(part, ((0, 0), (0, tiles * TILE_WORDS - count)))
        groups = part.reshape(-1, tiles, 2, _LANES)
        for move in MOVES:
            field = (groups[:, :, move.group] >> move.source) & ((1 << move.width) - 1)
            planes[start : start + _ROWS_AT_ONCE, :, move.plane] |= (field << move.target).astype(
                np.uint8
            )
    return planes.reshape(rows, -1).view(np.uint16)


def from_tiles(tiled: np.ndarray, count: int) -> np.ndarray:
    """The inverse of `to_tiles`: the first ``count`` half-words of each row."""
    rows = len(tiled)
    planes = tiled.view(np.uint8).reshape(rows, -1, 4, _LANES).astype(np.uint16)
    groups = np.zeros((rows, planes.shape[1], 2, _LANES), np.uint16)
    for move in MOVES:
        field = (planes[:, :, move.plane] >> move.target) & ((1 << move.width) - 1)
        groups[:, :, move.group] |= field << move.source
    return groups.reshape(rows, -1)[:, :count].copy()


def in_kernel_order(x: np.ndarray, rows: Tiles | Blocks) -> np.ndarray:
    """[n, columns] -> [n, padded columns]: the columns that meet the weights of ``rows`` in turn."""
    size, order = (
        (TILE_COLUMNS, TILE_ORDER) if isinstance(rows, Tiles) else (BLOCK_COLUMNS, BLOCK_ORDER)
    )
    n, columns = x.shape
    tiles = -(-columns // size)
    padded = np.zeros((n, tiles, *order.shape), x.dtype)
    padded.reshape(n, -1)[:, :columns] = x
    axes = (0, 1, *(2 + axis for axis in order.axes))
    arranged = aligned((n, tiles * size), x.dtype)
    moved = padded.transpose(axes)
    arranged.reshape(moved.shape)[...] = moved
    return arranged


def aligned(shape: tuple[int, ...], dtype) -> np.ndarray:
    """Return an uninitialised array that starts at a cache line, so that no load meets two."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    room = np.empty(size + 64, np.uint8)
    start = -room.ctypes.data % 64
    return room[start : start + size].view(dtype).reshape(shape)
