"""Scales by the rule absmax."""

from __future__ import annotations

import numpy as np

from amssim._jit import part
from amssim.codec.float_bits import bits_of, float_of

_MAGNITUDE = np.uint32(0x7FFFFFFF)
_SMALLEST_SCALE = np.finfo(np.float32).smallest_normal


@part
def absmax_scale(weights, max_value):
    """max |w| / max_value, at least the smallest normal; 1 for zeros; not finite if a weight is.

    The maximum is that of the bits as integers: no slower than reading the weights, and a NaN or
    Inf is the largest of all.

    weights    float32[n]
    max_value  float32
    """
    largest = np.uint32(0)
    for j in range(weights.shape[0]):
        magnitude = np.uint32(bits_of(weights[j]) & _MAGNITUDE)
        largest = magnitude if magnitude > largest else largest
    if largest == np.uint32(0):
        return np.float32(1)
    scale = np.float32(float_of(largest) / max_value)
    return _SMALLEST_SCALE if scale < _SMALLEST_SCALE else scale


@part
def absmax_scales(row, block, max_value, scales):
    """One scale for every ``block`` columns.

    row     float32[cols]
    block   int
    scales  float32[ceil(cols / block)]  written
    """
    for b in range(scales.shape[0]):
        scales[b] = absmax_scale(row[b * block : (b + 1) * block], max_value)
