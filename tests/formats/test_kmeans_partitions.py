"""Exact k-means against every partition of short rows, with weights and repeated values."""

from itertools import combinations_with_replacement

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amssim.formats import find_format
from amssim.formats.rounding.kmeans import nearest_centroids, row_centroids

VALUES = st.lists(st.integers(-6, 6).map(lambda i: i / 2), min_size=1, max_size=7)


def least_error(values, importance, count):
    """The least weighted error of any split of the sorted values into ``count`` runs."""
    order = np.argsort(values, kind="stable")
    x, h = np.float64(values)[order], np.float64(importance)[order]
    errors = []
    for cuts in combinations_with_replacement(range(len(x) + 1), count - 1):
        total = 0.0
        for a, b in zip((0, *cuts), (*cuts, len(x)), strict=True):
            weight = h[a:b].sum()
            if weight:
                mean = (h[a:b] * x[a:b]).sum() / weight
                total += (h[a:b] * (x[a:b] - mean) ** 2).sum()
        errors.append(total)
    return min(errors)


@settings(max_examples=60)
@given(VALUES, st.integers(1, 4), st.data())
def test_no_partition_is_better(values, count, data):
    weights = st.sampled_from([0.0, 0.5, 1.0, 3.0])
    h = data.draw(st.lists(weights, min_size=len(values), max_size=len(values)))
    centroids = row_centroids(np.float32([values]), np.float32([h]), count)
    assert centroids.shape == (1, count)
    distance = np.abs(np.float64(values)[:, None] - centroids[0]).min(axis=1)
    found = (np.float64(h) * distance**2).sum()
    assert found == pytest.approx(least_error(values, h, count), rel=1e-9, abs=1e-12)


@given(VALUES, st.integers(1, 4))
def test_centroids_ascend_and_codes_are_the_nearest(values, count):
    w = np.float32([values])
    centroids = row_centroids(w, np.ones_like(w), count)
    assert (np.diff(centroids) >= 0).all()
    distances = np.abs(np.float64(values)[:, None] - centroids[0])
    codes = nearest_centroids(w, centroids)[0]
    assert np.array_equal(distances[np.arange(len(values)), codes], distances.min(axis=1))


def test_rows_have_tables_of_their_own():
    w = np.float32([[1, 2, 3, 4], [10, 10, 20, 20]])
    centroids = row_centroids(w, np.ones_like(w), 2)
    assert centroids.tolist() == [[1.5, 3.5], [10, 20]]


def test_squeezellm_restores_rows_of_few_values():
    values = np.float16([-1.5, -0.25, 0.0, 0.75, 2.0])
    w = np.random.default_rng(0).choice(values, (4, 96)).astype(np.float32)
    assert np.array_equal(find_format("squeezellm4").quantize(w).dequantize(), w)
