"""Bands of rows: what is converted, what is not, and how much memory it takes."""

import tracemalloc

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amssim.codec.bands import (
    fillable_bands,
    float32_bands,
    is_plain,
    read_only,
    row_bands,
)

MATRIX = np.random.default_rng(0).standard_normal((37, 60_000)).astype(np.float16)


@given(st.integers(0, 50), st.integers(0, 2000), st.integers(1, 1 << 20))
def test_bands_follow_each_other_and_stay_small(start, rows, columns):
    bands = list(row_bands(start, start + rows, columns))
    assert [r for first, last in bands for r in range(first, last)] == list(
        range(start, start + rows)
    )
    for first, last in bands:
        assert first < last
        assert last - first == 1 or (last - first) * columns <= 1 << 18


def test_plain_float32_is_one_band_in_place():
    weights = MATRIX.astype(np.float32)
    ((first, last, band),) = float32_bands(weights, 3, 9)
    assert (first, last) == (3, 9) and np.shares_memory(band, weights)
    assert not band.flags.writeable and weights.flags.writeable
    ((first, last, band),) = fillable_bands(weights, 3, 9)
    assert np.shares_memory(band, weights) and band.flags.writeable


OTHERS = {
    "float16": MATRIX,
    "bfloat16": MATRIX.astype(ml_dtypes.bfloat16),
    "float64": MATRIX.astype(float),
    "big-endian": MATRIX.astype(">f4"),
    "Fortran": np.asfortranarray(MATRIX.astype(np.float32)),
    "every other column": np.repeat(MATRIX.astype(np.float32), 2, axis=1)[:, ::2],
}


@pytest.mark.parametrize("weights", OTHERS.values(), ids=OTHERS)
def test_other_matrices_come_as_converted_copies(weights):
    assert not is_plain(weights, np.float32)
    rows = []
    for first, last, band in float32_bands(weights, 2, 30):
        assert band.dtype == np.float32 and not np.shares_memory(band, weights)
        rows.append((first, last, band.copy()))
    assert len(rows) > 1
    assert np.array_equal(np.concatenate([band for _, _, band in rows]), weights[2:30])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64", ">f4"])
def test_what_is_filled_is_rounded_into_the_matrix(dtype):
    target = np.zeros(MATRIX.shape, np.dtype(dtype))
    values = np.random.default_rng(1).standard_normal(MATRIX.shape).astype(np.float32)
    for first, last, band in fillable_bands(target, 5, 37):
        band[:] = values[first:last]
    assert np.array_equal(target[5:], values[5:].astype(dtype))
    assert not target[:5].any()


def test_float64_beyond_float32_is_infinite_without_a_warning():
    ((_, _, band),) = float32_bands(np.array([[1e39, -1e39]]), 0, 1)
    assert band.tolist() == [[np.inf, -np.inf]]
    target = np.zeros((1, 1), np.float16)
    for _, _, band in fillable_bands(target, 0, 1):
        band[:] = 1e6
    assert np.isposinf(target).all()


def test_one_buffer_serves_all_bands():
    tracemalloc.start()
    for _ in float32_bands(MATRIX, 0, len(MATRIX)):
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1.3 * 2**20


def test_a_read_only_view_leaves_its_array_writable():
    array = np.zeros(3)
    view = read_only(array)
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 1
    array[0] = 1
    assert view[0] == 1
