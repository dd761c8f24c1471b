"""Codes to values, by placing their bits in a float32: exact, on any CPU, without a table."""

from __future__ import annotations

import numpy as np

from amssim._jit import leaf, part
from amssim.codec.float_bits import bits_of, float_of

_BINADE = np.uint32(1 << 23)


@leaf
def value_of(code, element):
    """float32 value of a uint32 code.

    A subnormal (0, m) is read as the normal (1, m), less the smallest normal value.
    """
    magnitude = np.uint32(code & np.uint32(element.sign - np.uint32(1)))
    shift = np.uint32(element.mantissa_shift & np.uint32(31))
    bits = np.uint32(np.uint32(magnitude << shift) + element.exponent_offset)
    subnormal = magnitude < element.first_normal
    moved = np.float32(float_of(np.uint32(bits + _BINADE)) - element.min_normal)
    size = moved if subnormal else float_of(bits)
    sign_shift = np.uint32(element.sign_shift & np.uint32(31))
    sign = np.uint32(np.uint32(code & element.sign) << sign_shift)
    return float_of(np.uint32(bits_of(size) | sign))


@part
def decode(codes, scale, element, weights):
    """weights[j] = value of codes[j] * scale, rounded once.

    codes    uint8[>= n]
    scale    float32
    element  Element
    weights  float32[n]  written
    """
    for j in range(weights.shape[0]):
        weights[j] = np.float32(value_of(np.uint32(codes[j]), element) * scale)
