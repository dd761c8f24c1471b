"""Weighted k-means in one dimension, solved exactly.

In one dimension clusters are runs of the sorted values, so dynamic programming finds the global
optimum: Wang and Song, Ckmeans.1d.dp, The R Journal 3(2), 2011; the divide and conquer over split
points that makes a layer O(n log n) is Grønlund et al., arXiv 1701.07204.
"""

from __future__ import annotations

import numpy as np

from amssim.formats.rounding.kmeans_kernels import assign_nearest, solve_rows
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
    parts = (slice(start, start + _ROWS) for start in range(0, len(weights), _ROWS))
    centroids = [_centroids(weights[rows], importance[rows], count) for rows in parts]
    return np.concatenate(centroids)


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
    solve_rows(x, sums, work, splits, np.empty((_STACK, 4), np.int64), centroids)
    return np.pad(centroids, ((0, 0), (0, count - clusters)), mode="edge")


def nearest_centroids(weights: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """uint8[rows, cols] index of each weight's nearest centroid of its row."""
    codes = np.empty(weights.shape, np.uint8)
    assign_nearest(weights, thresholds(centroids.astype(np.float64)), codes)
    return codes
