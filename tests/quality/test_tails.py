"""The shape of real weights: found again in samples, whatever the rows' sizes."""

import math

import numpy as np
import pytest

from amssim import scheme
from amssim.quality.theory.density import density
from amssim.quality.theory.expected_error import expected_mse_absmax
from amssim.quality.theory.tails import LARGEST_SHAPE, SMALLEST_SHAPE, expected_curve, shape_of


@pytest.mark.parametrize("shape", [0.5, 1.0, 2.0, 4.0])
def test_the_shape_of_samples_is_found_again(shape):
    rng = np.random.default_rng(3)
    rows = density(f"gennorm:{shape}").sample((256, 4096), rng)
    assert shape_of(rows) == pytest.approx(shape, rel=0.02)
    sized = rows * np.exp(3 * rng.standard_normal((256, 1)))
    assert shape_of(sized) == pytest.approx(shape_of(rows), rel=1e-4)


def test_shapes_beyond_the_ends_and_rows_of_zeros():
    spikes = np.eye(4, 4096, dtype=np.float32)
    assert shape_of(spikes) == SMALLEST_SHAPE
    assert shape_of(np.ones((2, 8), np.float32)) == LARGEST_SHAPE
    assert shape_of(np.zeros((2, 8), np.float32)) == LARGEST_SHAPE
    rows = np.random.default_rng(4).laplace(size=(64, 512))
    assert shape_of(np.concatenate([rows, np.zeros((9, 512))])) == shape_of(rows)


def test_the_curve_is_the_closed_form_a_little_beyond_the_shapes():
    found = expected_curve(scheme("fp4.25"), 128, [1.0, 2.0], points=2)
    assert [shape for shape, _ in found] == pytest.approx([1 / 1.3, 2.6], abs=1e-3)
    for shape, db in found:
        mse = expected_mse_absmax(density(f"gennorm:{shape}"), scheme("fp4.25"), columns=128)
        assert db == pytest.approx(-10 * math.log10(mse))


def test_rows_of_one_column_have_no_error_to_draw():
    found = expected_curve(scheme("fp4.25"), 1, [1.0, 2.0], points=2)
    assert [math.isnan(db) for _, db in found] == [True, True]
