"""Loops of error feedback: a group under every table, and a block of columns."""

from __future__ import annotations

import numpy as np

from amssim._jit import jit
from amssim.formats.rounding.kernels import nearest_entry


@jit
def _round_group(w, s, factor, thresholds, values, start, stop, moved, codes, errors):
    """Cost sum_j (d_j / U_jj)^2 of rounding columns start..stop of a row with one table.

    w, s       float64[cols]  the row's weights and scales
    factor     float64[cols, cols]  U
    thresholds float32[n - 1]
    values     float64[n]  the table
    moved      float64[k]  work space: the group's weights after feedback
    codes      uint8[k]  written
    errors     float64[k]  written: d_j / U_jj
    """
    cost = 0.0
    for j in range(start, stop):
        moved[j - start] = w[j]
    for j in range(start, stop):
        g = j - start
        code = nearest_entry(moved[g] / s[j], thresholds)
        error = (moved[g] - s[j] * values[code]) / factor[j, j]
        codes[g], errors[g] = code, error
        cost += error * error
        for later in range(j + 1, stop):
            moved[later - start] -= error * factor[j, later]
    return cost


@jit
def round_block(
    weights, scales, factor, thresholds, values, k, start, stop,
    moved, trial, trial_errors, codes, chosen, errors,
):  # fmt: skip
    """Round columns start..stop of every row and feed their errors back within the block.

    weights       float64[rows, cols]  changed in columns start..stop
    scales        float64[rows, cols]
    factor        float64[cols, cols]  U
    thresholds    float32[tables, n - 1]
    values        float64[tables, n]   ascending
    moved, trial, trial_errors         float64[k], uint8[k], float64[k] work space
    codes         uint8[rows, cols]    written
    chosen        uint8[rows, groups]  written
    errors        float64[rows, stop - start]  written: d_j / U_jj
    """
    tables = values.shape[0]
    for i in range(weights.shape[0]):
        w, s = weights[i], scales[i]
        for first in range(start, stop, k):
            last = min(first + k, stop)
            least = np.inf
            for t in range(tables):
                cost = _round_group(
                    w, s, factor, thresholds[t], values[t], first, last, moved, trial, trial_errors
                )
                if cost < least:
                    least = cost
                    chosen[i, first // k] = t
                    for j in range(first, last):
                        codes[i, j] = trial[j - first]
                        errors[i, j - start] = trial_errors[j - first]
            for j in range(first, last):
                for later in range(last, stop):
                    w[later] -= errors[i, j - start] * factor[j, later]
