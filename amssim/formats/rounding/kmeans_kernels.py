"""Loops of exact k-means: runs of sorted values by dynamic programming, and nearest centroids."""

from __future__ import annotations

import numpy as np

from amssim._jit import jit
from amssim.formats.rounding.kernels import nearest_entry


@jit
def _cost(sums, start, stop):
    """Weighted squared error of sorted values start..stop about their mean.

    sums  float64[n + 1, 3]  running sums of h, h x, h x^2
    """
    h = sums[stop, 0] - sums[start, 0]
    if h <= 0.0:
        return 0.0
    hx = sums[stop, 1] - sums[start, 1]
    return max(sums[stop, 2] - sums[start, 2] - hx * hx / h, 0.0)


@jit
def _best_split(sums, before, low, high, stop):
    """(error, start) of the last cluster start..stop, low <= start <= high, that costs least."""
    least, best = np.inf, low
    for start in range(low, min(high, stop - 1) + 1):
        cost = before[start] + _cost(sums, start, stop)
        if cost < least:
            least, best = cost, start
    return least, best


@jit
def _add_cluster(sums, before, after, split, first, stack):
    """after[n] = min over start of before[start] + cost(start, n), for every n >= first.

    The best start never falls as n grows, so the middle n bounds the starts of both halves.

    before, after  float64[n + 1]  least error of the first n values with one cluster less, and now
    split          int32[n + 1]    the best start
    stack          int64[depth, 4] work space: n from, n to, start from, start to
    """
    depth = 0
    stack[0, 0], stack[0, 1] = first, before.shape[0] - 1
    stack[0, 2], stack[0, 3] = first - 1, before.shape[0] - 2
    while depth >= 0:
        low, high, start_low, start_high = stack[depth]
        depth -= 1
        middle = (low + high) // 2
        after[middle], best = _best_split(sums, before, start_low, start_high, middle)
        split[middle] = best
        if middle < high:
            depth += 1
            stack[depth, 0], stack[depth, 1] = middle + 1, high
            stack[depth, 2], stack[depth, 3] = best, start_high
        if low < middle:
            depth += 1
            stack[depth, 0], stack[depth, 1] = low, middle - 1
            stack[depth, 2], stack[depth, 3] = start_low, best


@jit
def solve_rows(x, sums, work, splits, stack, centroids):
    """Centroids of every row by dynamic programming over the number of clusters.

    x          float64[rows, n]         ascending
    sums       float64[rows, n + 1, 3]  running sums of h, h x, h x^2
    work       float64[2, n + 1]        work space
    splits     int32[clusters, n + 1]   work space
    stack      int64[depth, 4]          work space
    centroids  float64[rows, clusters]  written
    """
    n, clusters = x.shape[1], centroids.shape[1]
    for i in range(x.shape[0]):
        before, after = work[0], work[1]
        for stop in range(1, n + 1):
            before[stop] = _cost(sums[i], 0, stop)
        for c in range(1, clusters):
            _add_cluster(sums[i], before, after, splits[c], c + 1, stack)
            before, after = after, before
        stop = n
        for c in range(clusters - 1, -1, -1):
            start = splits[c, stop] if c > 0 else 0
            h = sums[i, stop, 0] - sums[i, start, 0]
            hx = sums[i, stop, 1] - sums[i, start, 1]
            centroids[i, c] = hx / h if h > 0 else x[i, start]
            stop = start


@jit
def assign_nearest(weights, thresholds, codes):
    """codes[i, j] = index of the entry of row i's table nearest to weights[i, j].

    weights     float32[rows, cols]
    thresholds  float32[rows, n - 1]
    codes       uint8[rows, cols]  written
    """
    for i in range(weights.shape[0]):
        for j in range(weights.shape[1]):
            codes[i, j] = nearest_entry(weights[i, j], thresholds[i])
