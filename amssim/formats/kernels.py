"""Loops that every format shares: nearest entry of a table, and the error of a block."""

from __future__ import annotations

import numpy as np

from amssim._jit import jit


@jit
def nearest(x, midpoints, even):
    """Index of the table entry nearest to float64 ``x``; see `Table` for ties.

    midpoints  float64[n - 1]  ascending
    """
    low, high = 0, midpoints.shape[0]
    while low < high:
        middle = (low + high) // 2
        if midpoints[middle] < x:
            low = middle + 1
        else:
            high = middle
    tie = low < midpoints.shape[0] and midpoints[low] == x
    if tie and even >= 0 and low % 2 != even:
        low += 1
    return low


@jit
def nearest_codes(weights, scales, block, midpoints, even, codes):
    """codes[i, j] = nearest(weights[i, j] / scales[i, j // block]).

    weights  float32[rows, cols]
    scales   float32[rows, blocks]
    codes    uint8[rows, cols]  written
    """
    for i in range(weights.shape[0]):
        for j in range(weights.shape[1]):
            x = np.float32(weights[i, j] / scales[i, j // block])
            codes[i, j] = nearest(np.float64(x), midpoints, even)


@jit
def table_errors(weights, importance, scales, block, table, midpoints, even, errors):
    """errors[i, b] = sum_j h[j] (w[i, j] - s[i, b] table[nearest(w[i, j] / s[i, b])])^2.

    weights     float32[rows, cols]
    importance  float32[cols]  h
    scales      float32[rows, blocks]  s
    table       float32[n]
    errors      float64[rows, blocks]  written
    """
    errors[:] = 0.0
    for i in range(weights.shape[0]):
        for j in range(weights.shape[1]):
            s = scales[i, j // block]
            x = np.float32(weights[i, j] / s)
            value = np.float32(table[nearest(np.float64(x), midpoints, even)] * s)
            error = np.float64(weights[i, j]) - np.float64(value)
            errors[i, j // block] += importance[j] * error * error


@jit
def uniform_errors(weights, importance, scales, low, high, block, errors):
    """errors[i, b] = sum_j h[j] (w - s clamp(round(w / s), low[i, b], high[i, b]))^2.

    weights     float32[rows, cols]  w
    importance  float32[cols]  h
    scales      float32[rows, blocks]  s
    low, high   float32[rows, blocks]  ends of the integer range
    errors      float64[rows, blocks]  written
    """
    errors[:] = 0.0
    for i in range(weights.shape[0]):
        for j in range(weights.shape[1]):
            b = j // block
            s = scales[i, b]
            q = min(max(np.rint(np.float32(weights[i, j] / s)), low[i, b]), high[i, b])
            error = np.float64(weights[i, j]) - np.float64(np.float32(q * s))
            errors[i, b] += importance[j] * error * error
