"""Weighted k-means in one dimension, solved exactly.

In one dimension clusters are runs of the sorted values, so dynamic programming finds the global
optimum: Wang and Song, Ckmeans.1d.dp, The R Journal 3(2), 2011; the divide and conquer over split
points that makes a layer O(n log n) is Grønlund et al., arXiv 1701.07204.
"""

from __future__ import annotations

import numpy as np

from amssim._jit import jit
from amssim.formats.rounding.kernels import nearest_entry
from amssim.formats.rounding.table import thresholds

# Interval halves waiting in the divide and conquer: one per level, and 2^64 columns are enough.
_STACK = 64
# Rows at a time: the running sums take 24 bytes a weight.
_ROWS = 256


def row_centroids(weights: np.ndarray, importance: np.ndarray, count: int) -> np.ndarray:
    """Ascending centroids float64[rows, count] with the least weighted squared error of each row.

    Args:
        weights: float32[rows, cols].
        importance: float32[rows, cols], not negative; values of importance 0 do not count.
        count: centroids; the last is repeated where a row has fewer different places.
    """
    parts = range(0, len(weights), _ROWS)
    found = [_centroids(weights[i : i + _ROWS], importance[i : i + _ROWS], count) for i in parts]
    return np.concatenate(found)


def _centroids(weights: np.ndarray, importance: np.ndarray, count: int) -> np.ndarray:
    cols = weights.shape[1]
    order = np.argsort(weights, axis=1, kind="stable")
    x = np.take_along_axis(weights, order, axis=1).astype(np.float64)
    h = np.take_along_axis(importance, order, axis=1).astype(np.float64)
    sums = np.zeros((len(weights), cols + 1, 3))
    np.cumsum(np.stack([h, h * x, h * x * x], axis=2), axis=1, out=sums[:, 1:])
    clusters = min(count, cols)
    centroids = np.empty((len(weights), clusters))
    work = np.empty((2, cols + 1))
    splits = np.zeros((clusters, cols + 1), np.int32)
    _solve_rows(x, sums, work, splits, np.empty((_STACK, 4), np.int64), centroids)
    return np.pad(centroids, ((0, 0), (0, count - clusters)), mode="edge")


def nearest_centroids(weights: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """uint8[rows, cols] index of each weight's nearest centroid of its row."""
    codes = np.empty(weights.shape, np.uint8)
    _assign(weights, thresholds(centroids.astype(np.float64)), codes)
    return codes


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
def _solve_rows(x, sums, work, splits, stack, centroids):
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
def _assign(weights, thresholds, codes):
    """codes[i, j] = index of the entry of row i's table nearest to weights[i, j].

    weights     float32[rows, cols]
    thresholds  float32[rows, n - 1]
    codes       uint8[rows, cols]  written
    """
    for i in range(weights.shape[0]):
        for j in range(weights.shape[1]):
            codes[i, j] = nearest_entry(weights[i, j], thresholds[i])
