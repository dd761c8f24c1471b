"""Matrices to time: the same at every run, of the shape that was asked for."""

import numpy as np
import pytest

from amssim.bench.operands import normal_weights, random_packed
from amssim.scheme import scheme, schemes


def test_normal_weights_are_normal_and_repeat():
    weights = normal_weights(700, 300)  # more rows than are drawn at once
    assert weights.dtype == np.float32 and weights.shape == (700, 300)
    assert (weights == normal_weights(700, 300)).all()
    assert abs(weights.mean()) < 5 * 0.02 / 210_000**0.5
    assert weights.std() == pytest.approx(0.02, rel=0.01)
    assert len(np.unique(weights[:, 0])) == 700  # no rows repeat


@pytest.mark.parametrize("form", schemes(), ids=str)
def test_random_weights_are_valid_and_use_every_code(form):
    packed = random_packed(form, 40, 512)
    assert packed.scheme == form and packed.shape == (40, 512)
    assert packed == random_packed(form, 40, 512)
    assert len(np.unique(packed.codes())) == 2**form.minifloat.bits
    assert ((packed.scales >= 0.5) & (packed.scales <= 2)).all()


def test_random_weights_can_be_multiplied():
    packed = random_packed(scheme("fp4.25"), 8, 100)
    product = packed @ np.ones(100, np.float32)
    assert product == pytest.approx(packed.dequantize().sum(1), rel=1e-4, abs=1e-4)
