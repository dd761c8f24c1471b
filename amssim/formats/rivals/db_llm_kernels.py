"""Loops of DB-LLM: nearest sums of planes, and the equations of their factors."""

from __future__ import annotations

import numpy as np

from amssim._jit import jit


@jit
def nearest_levels(weights, importance, levels, scale_block, codes, errors):
    """codes[i, j] = argmin_c |w[i, j] - levels[i, g, c]|; errors[i, g] = sum_j h[j] (...)^2.

    weights     float32[rows, cols]  w
    importance  float32[cols]  h
    levels      float32[rows, blocks, n]
    codes       uint8[rows, cols]  written
    errors      float64[rows, blocks]  written
    """
    errors[:] = 0.0
    for i in range(weights.shape[0]):
        for j in range(weights.shape[1]):
            least, best = np.inf, 0
            for c in range(levels.shape[2]):
                distance = abs(
                    np.float64(weights[i, j]) - np.float64(levels[i, j // scale_block, c])
                )
                if distance < least:
                    least, best = distance, c
            codes[i, j] = best
            errors[i, j // scale_block] += importance[j] * least * least


@jit
def normal_equations(weights, importance, codes, scale_block, matrix, right):
    """matrix = B^T H B and right = B^T H w of each block, B its planes; both start at zero.

    weights     float32[rows, cols]
    importance  float32[cols]
    codes       uint8[rows, cols]
    matrix      float64[rows, blocks, planes, planes]  added to
    right       float64[rows, blocks, planes]  added to
    """
    planes = right.shape[2]
    for i in range(weights.shape[0]):
        for j in range(weights.shape[1]):
            code, h = codes[i, j], np.float64(importance[j])
            for p in range(planes):
                if code >> p & 1:
                    right[i, j // scale_block, p] += h * weights[i, j]
                    for q in range(planes):
                        matrix[i, j // scale_block, p, q] += h * (code >> q & 1)
