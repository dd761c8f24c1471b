"""Scales: absmax exactly, and mse as good as the best candidate in exact arithmetic."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amssim import quantize, reference, testing
from amssim.codec.constants import SMALLEST_SCALE
from amssim.rules import MSE_FACTORS


@given(st.data())
def test_absmax_is_one_rounded_division_and_never_subnormal(data):
    scheme = data.draw(testing.schemes())
    weights = data.draw(testing.weights(scheme))
    block = data.draw(st.none() | st.integers(1, weights.shape[1]))
    scales = quantize(weights, scheme, scale_block=block).scales
    width = block or weights.shape[1]
    for r, row in enumerate(weights):
        for b, start in enumerate(range(0, len(row), width)):
            largest = float(np.abs(row[start : start + width]).max())
            if largest == 0:
                assert scales[r, b] == 1
                continue
            exact = Fraction(largest) / Fraction(scheme.minifloat.max_value)
            floor = Fraction(float(SMALLEST_SCALE))
            assert abs(Fraction(float(scales[r, b])) - max(exact, floor)) <= exact / 2**24


def exact_error(row, scale, scheme, bits_of) -> Fraction:
    codes = bits_of((row / scale)[None])[0]
    values = scheme.minifloat.values[codes]
    return sum(
        (Fraction(float(w)) - Fraction(float(v)) * Fraction(float(scale))) ** 2
        for w, v in zip(row, values, strict=True)
    )


@given(st.data())
@settings(max_examples=40)
def test_no_candidate_has_a_smaller_error_than_the_scale_of_mse(data):
    scheme = data.draw(testing.schemes(presets_only=True))
    row = np.float32(data.draw(st.lists(st.integers(-200, 200), min_size=1, max_size=12))) / 64
    found = quantize(row[None], scheme, scale="mse").scales.item()
    if not row.any():
        assert found == 1
        return
    base = np.float32(np.abs(row).max() / np.float32(scheme.minifloat.max_value))
    candidates = [base * np.float32(factor) for factor in MSE_FACTORS]
    errors = [
        exact_error(row, s, scheme, lambda x: reference.encode(x, scheme)) for s in candidates
    ]
    assert np.float32(found) in candidates
    chosen = errors[candidates.index(np.float32(found))]
    assert chosen <= min(errors) * (1 + Fraction(1, 10**9))


def test_mse_is_never_worse_than_absmax():
    weights = np.random.default_rng(0).standard_t(3, (20, 200)).astype(np.float32)
    for scheme in ("fp5.33", "fp4.25", "fp6-e3m2"):
        errors = [
            ((quantize(weights, scheme, scale=rule).dequantize() - weights) ** 2).sum(axis=1)
            for rule in ("absmax", "mse")
        ]
        assert (errors[1] <= errors[0] * (1 + 1e-5)).all() and (errors[1] < errors[0]).any()


@pytest.mark.parametrize("scale", ["absmax", "mse"])
def test_blocks_have_the_scales_that_they_have_as_rows(scale):
    """Blocks of whole groups do not see each other."""
    weights = np.random.default_rng(1).standard_normal((4, 96)).astype(np.float32)
    together = quantize(weights, "fp4.25", scale=scale, scale_block=32)
    apart = quantize(weights.reshape(12, 32), "fp4.25", scale=scale)
    assert np.array_equal(together.scales, apart.scales.reshape(4, 3))
    assert np.array_equal(together.codes(), apart.codes().reshape(4, 96))
