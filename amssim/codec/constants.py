"""What kernels know of a scheme: numbers derived from it once, passed as named tuples.

No kernel is compiled for a scheme: all of this is data, so any scheme runs at once.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from amssim.layout import layout
from amssim.minifloat import Minifloat
from amssim.scheme import Scheme

#: No scale is smaller: quotients by a subnormal could be infinite. docs/FORMAT.md, section 3.
SMALLEST_SCALE = np.finfo(np.float32).smallest_normal

_FLOAT_MANTISSA_BITS = 23
_FLOAT_BIAS = 127


class Grid(NamedTuple):
    """The values of a minifloat that keep the first ``kept`` of its mantissa bits, for rounding.

    All uint32; see `amssim.codec.elements.nearest_point` for what each is added to or compared
    with.
    """

    limit: np.uint32  #: float32 bits: larger magnitudes round as this one does
    lowest: np.uint32  #: float32 bits of the smallest normal value
    shift: np.uint32  #: 23 - kept
    offset: np.uint32  #: turns an exponent into the float32 whose last bits count grid points
    last: np.uint32  #: largest index, all ones


class ElementNumbers(NamedTuple):
    """A minifloat ExMy for kernels: its even codes' grid, its whole grid, where its bits lie."""

    even: Grid
    full: Grid
    sign: np.uint32  #: the sign bit of a code
    half_step: np.uint32  #: y in the exponent field: 2^e less this is 2^(e-y), the full grid's step
    edge: np.uint32  #: mantissa bits that are 0 within half a step above a power of two
    second_binade: np.uint32  #: float32 bits of twice the smallest normal value
    max_value: np.float32
    half_up: np.uint16  #: from a code's sign bit to that of a float16
    half_down: np.int16  #: from its exponent, then, to that of a float16
    half_mask: np.uint16  #: the sign and the other bits where they are now
    half_power: np.float32  #: 2^(15 - bias), the change of bias


class LayoutNumbers(NamedTuple):
    """The packed layout of a scheme, `amssim.layout.Layout`, for kernels."""

    fused: bool
    k: int
    field_bits: int
    block_weights: int
    block_words: int
    code_bits: int
    chunk_weights: int  #: whole blocks that kernels take at a time
    decode_weights: int  #: fewer, where the results are float32


# With 6 bytes a weight the room of a chunk stays in L2, and calls cost little: on rows of 4096
# weights 1.3 G weights/s, at 1024 weights a chunk 0.95.
_CHUNK_WEIGHTS = 6144
# Decoding shorter pieces leaves fewer pauses in the stream of results to memory: 85 % of the rate
# of filling the array, at 6144 weights 75 %.
_DECODE_WEIGHTS = 1536


@lru_cache(maxsize=256)
def element_numbers(minifloat: Minifloat) -> ElementNumbers:
    """Return what kernels know of ``minifloat``."""
    x, y, bias = minifloat.exponent_bits, minifloat.mantissa_bits, minifloat.bias
    mantissa = (1 << _FLOAT_MANTISSA_BITS) - 1
    return ElementNumbers(
        even=_grid(minifloat, y - 1),
        full=_grid(minifloat, y),
        sign=np.uint32(minifloat.sign_bit),
        half_step=np.uint32(y << _FLOAT_MANTISSA_BITS),
        edge=np.uint32(mantissa & -(1 << (_FLOAT_MANTISSA_BITS - 1 - y))),
        second_binade=_float_bits(2 * minifloat.min_normal),
        max_value=np.float32(minifloat.max_value),
        half_up=np.uint16(15 - x - y),
        half_down=np.int16(5 - x),
        half_mask=np.uint16(0x8000 | (minifloat.magnitudes - 1) << (10 - y)),
        half_power=np.float32(2.0 ** (15 - bias)),
    )


def _grid(minifloat: Minifloat, kept: int) -> Grid:
    shift = _FLOAT_MANTISSA_BITS - kept
    # index of 2^e: (e + bias - 1) 2^kept + 2^kept, where the second term is the sum's own
    first = (_FLOAT_BIAS + 1 - minifloat.bias) << kept
    offset = (shift << _FLOAT_MANTISSA_BITS) - first
    dropped = minifloat.mantissa_bits - kept
    return Grid(
        limit=np.uint32(_float_bits(minifloat.max_value) - dropped),
        lowest=_float_bits(minifloat.min_normal),
        shift=np.uint32(shift),
        offset=np.uint32(offset % 2**32),
        last=np.uint32((minifloat.magnitudes >> dropped) - 1),
    )


def _float_bits(value: float) -> np.uint32:
    return np.float32(value).view(np.uint32)


@lru_cache(maxsize=256)
def layout_numbers(scheme: Scheme) -> LayoutNumbers:
    """Return what kernels know of the packed layout of ``scheme``."""
    canonical = layout(scheme)
    block = canonical.block_weights
    return LayoutNumbers(
        fused=canonical.fused,
        k=int(scheme.k),
        field_bits=canonical.field_bits,
        block_weights=block,
        block_words=canonical.block_words,
        code_bits=scheme.minifloat.bits,
        chunk_weights=block * max(1, _CHUNK_WEIGHTS // block),
        decode_weights=block * max(1, _DECODE_WEIGHTS // block),
    )
