"""One weight at a time: to its draft and its vote, and from its code back to its value.

Both work on the bits of a float: `bits_of`, `float_of` and `float_of_half` are views of them, which
LLVM vectorises away.

Whether a weight gets a code whose last bit is 0 or one whose last bit is 1 is its group's choice.
What the weight has to say is prepared here, before the group chooses:

- its *draft*, one byte: the code of the *even candidate*, the nearest with last bit 0, and in the
  draft's own last bit whether the *odd candidate*, the nearest with last bit 1, has the next lower
  top bits (1) or the same ones (0);
- its *vote*, a float32: the squared error of the odd candidate less that of the even one, so
  that the group takes 1 where its votes add up to less than 0.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from amssim._jit import leaf, part
from amssim.rules import SEARCH_RULES

ADAPTIVE, REPLACE, MAJORITY, ZERO, ONE = range(len(SEARCH_RULES))

_MAGNITUDE = np.uint32(0x7FFFFFFF)
_EXPONENT = np.uint32(0x7F800000)
_SIGN = np.uint32(0x80000000)
_BINADE = np.uint32(1 << 23)
_HALF_SHIFT = np.uint32(13)  # from float16 to float32
_HALF_BIAS = np.uint32(112 << 23)  # 127 - 15 in the exponent field
_HALF_MIN_NORMAL = np.float32(2.0**-14)


@intrinsic
def bits_of(typing_context, value):
    """uint32 pattern of a float32."""

    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.IntType(32))

    return types.uint32(types.float32), generate


@intrinsic
def float_of(typing_context, bits):
    """float32 whose pattern is a uint32."""

    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.uint32), generate


@intrinsic
def float_of_half(typing_context, bits):
    """float32 of the same value as the finite float16 whose pattern is a uint16.

    One instruction where the CPU has F16C: twice as fast as `_widen`, which is used elsewhere
    because LLVM would call a library there.
    """

    def generate(context, builder, signature, arguments):
        _, _, features = context.codegen().magic_tuple()
        if "+f16c" not in features.split(","):
            return context.compile_internal(builder, _widen, signature, arguments)
        return builder.fpext(builder.bitcast(arguments[0], ir.HalfType()), ir.FloatType())

    return types.float32(types.uint16), generate


def _widen(bits):
    """A subnormal (0, m) is read as the normal (1, m), less the smallest normal value."""
    magnitude = np.uint32(np.uint32(bits & np.uint16(0x7FFF)) << _HALF_SHIFT)
    size = np.uint32(magnitude + _HALF_BIAS)
    subnormal = np.float32(float_of(np.uint32(size + _BINADE)) - _HALF_MIN_NORMAL)
    value = subnormal if magnitude < _BINADE else float_of(size)
    sign = np.uint32(np.uint32(bits & np.uint16(0x8000)) << np.uint32(16))
    return float_of(np.uint32(bits_of(value) | sign))


@leaf
def nearest_point(magnitude, grid):
    """Index and value of the grid point nearest to a magnitude, and bits of 2^e, its exponent's.

    Adding 2^(e+23-kept) leaves a float32 no room for anything finer than the grid's step at
    exponent e, so the addition rounds to nearest even. ``offset`` also puts the index of 2^e into
    that number's last bits: they then count grid points, and a tie goes to the even index.

    magnitude  uint32  bits of |x|
    grid       Grid
    """
    bounded = magnitude if magnitude < grid.limit else grid.limit
    exponent = np.uint32(bounded & _EXPONENT)
    exponent = exponent if exponent > grid.lowest else grid.lowest
    shifted = np.uint32(exponent >> np.uint32(grid.shift & np.uint32(31)))
    magic = float_of(np.uint32(np.uint32(exponent + shifted) + grid.offset))
    total = np.float32(float_of(bounded) + magic)
    return np.uint32(bits_of(total) & grid.last), np.float32(total - magic), exponent


@leaf
def normalised(weight, scale):
    """Bits of weight / scale, with -0 as +0."""
    return bits_of(np.float32(np.float32(weight / scale) + np.float32(0)))


@leaf
def excess(step, residual):
    """(a - v1)^2 - (a - v0)^2 = step (step - 2 residual), step = v1 - v0 a power of two."""
    return np.float32(step * np.float32(step - np.float32(residual + residual)))


@part
def draft_adaptive(weights, scale, element, drafts, votes):
    """Draft the nearest code for either shared bit; vote by the squared errors.

    The odd candidate is the neighbour of the even one on |x|'s side. Just above 2^e it is the one
    below, which is nearer there: the half step is halved below 2^e. A tie takes the even top code.

    weights  float32[n]
    scale    float32         weights are divided by it
    element  ElementNumbers
    drafts   uint8[>= n]     written
    votes    float32[>= n]   written
    """
    for j in range(weights.shape[0]):
        bits = normalised(weights[j], scale)
        magnitude = np.uint32(bits & _MAGNITUDE)
        top, value, exponent = nearest_point(magnitude, element.even)
        residual = np.float32(float_of(magnitude) - value)
        step = np.uint32(exponent - element.half_step)
        at_edge = np.uint32(magnitude & element.edge) == np.uint32(0)
        at_edge &= magnitude >= element.second_binade
        below = np.uint32(step - _BINADE) if at_edge else step
        # The one below is the nearer for residuals under the tie; at it, if that makes the top code
        # even. Compared as integers: negative floats are the least, and + 1 turns < into <=.
        tie = np.uint32(below - _BINADE) if at_edge else np.uint32(0)
        odd_top = np.uint32(top & np.uint32(1))
        low = np.int32(bits_of(residual)) < np.int32(np.uint32(tie + odd_top))
        change = float_of(np.uint32(below | _SIGN) if low else step)
        votes[j] = excess(change, residual)
        code = np.uint32(np.uint32(top + top) | np.uint32(1 if low else 0))
        sign = element.sign if np.int32(bits) < np.int32(0) else np.uint32(0)
        drafts[j] = np.uint8(np.uint32(code | sign))


@part
def draft_rounded(weights, scale, element, majority, drafts, votes):
    """Draft the nearest code of the full format; vote for its last bit, or by squared errors.

    majority  bool  vote -1 for a last bit of 1, else 1; the other arguments as in `draft_adaptive`
    """
    for j in range(weights.shape[0]):
        bits = normalised(weights[j], scale)
        magnitude = np.uint32(bits & _MAGNITUDE)
        code, value, _ = nearest_point(magnitude, element.full)
        odd = np.uint32(code & np.uint32(1))
        exponent = np.uint32(bits_of(value) & _EXPONENT)  # the rounded value's: both codes' too
        exponent = exponent if exponent > element.full.lowest else element.full.lowest
        step = float_of(np.uint32(exponent - element.half_step))
        even_value = np.float32(value - step) if odd else value
        by_error = excess(step, np.float32(float_of(magnitude) - even_value))
        by_count = np.float32(-1) if odd else np.float32(1)
        votes[j] = by_count if majority else by_error
        sign = element.sign if np.int32(bits) < np.int32(0) else np.uint32(0)
        drafts[j] = np.uint8(np.uint32(np.uint32(code - odd) | sign))


@part
def draft(weights, scale, element, search, drafts, votes):
    """Draft weights by the rule ``search``; the other arguments as in `draft_adaptive`."""
    if search in (REPLACE, MAJORITY):
        draft_rounded(weights, scale, element, search == MAJORITY, drafts, votes)
        return
    draft_adaptive(weights, scale, element, drafts, votes)
    if search in (ZERO, ONE):
        vote = np.float32(1) if search == ZERO else np.float32(-1)
        for j in range(weights.shape[0]):
            votes[j] = vote


@leaf
def value_of(code, element):
    """float32 value of a uint8 code, exactly: its bits are placed in a float16, without a table.

    The sign goes to bit 15, the exponent to bits 10 and up. A float16 holds every minifloat,
    subnormals included, but for the bias, which a factor mends.
    """
    raised = np.uint16(np.uint16(code) << np.uint16(element.half_up & np.uint16(15)))
    lowered = np.uint16(np.int16(raised) >> np.int16(element.half_down & np.int16(15)))
    return np.float32(float_of_half(np.uint16(lowered & element.half_mask)) * element.half_power)


@part
def decode(codes, scale, element, weights):
    """weights[j] = value of codes[j] * scale, rounded once.

    codes    uint8[>= n]
    scale    float32
    element  ElementNumbers
    weights  float32[n]      written
    """
    for j in range(weights.shape[0]):
        weights[j] = np.float32(value_of(codes[j], element) * scale)
