"""Codes to values, by placing their bits in a float16, which holds every minifloat but for its
bias: exact, subnormals included, and without a table."""

from __future__ import annotations

import numpy as np

from amssim._jit import leaf, part
from amssim.codec.float_bits import float_of_half


@leaf
def value_of(code, element):
    """float32 value of a uint8 code: sign to bit 15, exponent to bits 10 and up, one bias."""
    raised = np.uint16(np.uint16(code) << np.uint16(element.half_up & np.uint16(15)))
    lowered = np.uint16(np.int16(raised) >> np.int16(element.half_down & np.int16(15)))
    return np.float32(float_of_half(np.uint16(lowered & element.half_mask)) * element.half_power)


@part
def decode(codes, scale, element, weights):
    """weights[j] = value of codes[j] * scale, rounded once.

    codes    uint8[>= n]
    scale    float32
    element  Element
    weights  float32[n]  written
    """
    for j in range(weights.shape[0]):
        weights[j] = np.float32(value_of(codes[j], element) * scale)
