"""What the kernels ask of a scheme's rows: their sizes, and their weights as vectors.

`words_of`, `columns_of`, `integers` and `halves` work in kernels only. Their first argument is the
``Rows`` of `fp533` or of `fp425`, whose type picks the code when a kernel is compiled.
"""

from __future__ import annotations

from numba.extending import overload

from amssim.cpu import fp425, fp533
from amssim.cpu.tiles import to_tiles
from amssim.scheme import FP4_25, FP5_33
from amssim.tensor.packed import PackedTensor

LAYOUTS = {FP5_33: fp533, FP4_25: fp425}
_LAYOUT_OF_ROWS = {module.Rows: module for module in LAYOUTS.values()}


def rows_of(packed: PackedTensor) -> fp533.Rows | fp425.Rows:
    """Return the rows of a tensor whose scheme is in `LAYOUTS`; tiles are made once."""
    if packed.scheme != FP5_33:
        return fp425.Rows(packed.words)
    if "cpu tiles" not in packed.derived:
        packed.derived["cpu tiles"] = to_tiles(packed.words)
    return fp533.Rows(packed.derived["cpu tiles"])


def words_of(rows):
    """Half-words of a tile or block."""


def columns_of(rows):
    """Weights of a tile or block."""


def integers(rows, row, t):
    """Weights of tile ``t`` of ``row`` in units of the smallest value, plus the layout's OFFSET.

    The offset is the largest weight, so that the vectors are of 32 uint8.
    """


def halves(rows, row, t):
    """Weights of tile ``t`` of ``row`` times 2^-14: pairs of vectors, low and high bytes of halves.

    Sign, exponent and mantissa bits lie where an IEEE half has them. Their exponent bias of 1 then
    stands for the half's 15, in subnormals too, so that the half is the weight times 2^-14.
    """


@overload(words_of)
def _words_of(rows):
    words = _LAYOUT_OF_ROWS[rows.instance_class].WORDS
    return lambda rows: words


@overload(columns_of)
def _columns_of(rows):
    columns = _LAYOUT_OF_ROWS[rows.instance_class].COLUMNS
    return lambda rows: columns


@overload(integers, jit_options={"forceinline": True})
def _integers(rows, row, t):
    function = _LAYOUT_OF_ROWS[rows.instance_class].integers
    return lambda rows, row, t: function(row, t)


@overload(halves, jit_options={"forceinline": True})
def _halves(rows, row, t):
    function = _LAYOUT_OF_ROWS[rows.instance_class].halves
    return lambda rows, row, t: function(row, t)
