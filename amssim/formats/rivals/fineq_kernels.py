"""Loops of FineQ: the best state of each pair of clusters."""

from __future__ import annotations

import numpy as np

from amssim._jit import jit


@jit
def choose_states(weights, importance, scales, narrow, wide, levels, states, errors):
    """Per six weights, the state with the least sum of h (w - s level)^2, and its levels.

    weights      float32[rows, 6 pairs]
    importance   float32[6 pairs]  h
    scales       float32[rows, 1]  s
    narrow, wide largest level of a normal weight, and of a weight of a cluster that drops one
    levels       int8[rows, 6 pairs]  written
    states       uint8[rows, pairs]  written
    errors       float64[rows, 1]  written
    """
    for i in range(weights.shape[0]):
        s = scales[i, 0]
        errors[i, 0] = 0.0
        for pair in range(states.shape[1]):
            lowest, best = np.inf, 0
            for state in range(4):
                total = 0.0
                for n in range(6):
                    j = 6 * pair + n
                    level = _level(np.float32(weights[i, j] / s), n % 3, state, narrow, wide)
                    error = np.float64(weights[i, j]) - np.float64(np.float32(level * s))
                    total += importance[j] * error * error
                if total < lowest:
                    lowest, best = total, state
            states[i, pair] = best
            errors[i, 0] += lowest
            for n in range(6):
                j = 6 * pair + n
                levels[i, j] = _level(np.float32(weights[i, j] / s), n % 3, best, narrow, wide)


@jit
def _level(x, nth, state, narrow, wide):
    """x rounded to the whole numbers that the cluster's n-th weight can hold in a state."""
    if state == nth + 1:
        return np.float32(0)
    limit = np.float32(narrow if state == 0 else wide)
    return min(max(np.rint(x), -limit), limit)
