import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amssim.cpu.kernels import VECTOR_FORMS
from amssim.cpu.operands import (
    LARGEST_STEP,
    integer_operand,
    kernel_order,
    quantize_activations,
)


@pytest.mark.parametrize("kind", ["int8", "int16"])
def test_steps_are_the_documented_rule(kind):
    x = np.random.default_rng(0).standard_normal((5, 300)).astype(np.float32)
    x[1], x[2] = 0, np.float32(1e-44)
    x[3] *= np.float32(1e38) / np.abs(x[3]).max() * np.float32(3.4)
    steps, scale = quantize_activations(x, kind)
    largest = np.float32(LARGEST_STEP[kind])
    wanted = np.maximum(np.abs(x).max(axis=1) / largest, np.finfo(np.float32).tiny)
    assert (scale == wanted).all()
    assert (steps == np.rint(x / wanted[:, None])).all()
    assert np.abs(steps).max(axis=1).tolist() == [largest, 0, 0, largest, largest]


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1))
def test_no_step_exceeds_the_largest(x):
    for kind, largest in LARGEST_STEP.items():
        steps = quantize_activations(np.float32([x]), kind).steps
        assert np.abs(steps).max() <= largest


@pytest.mark.parametrize("kind", ["int8", "int16"])
def test_operands_are_padded_with_zeros_and_keep_every_step(kind):
    largest = LARGEST_STEP[kind]
    steps = np.arange(-largest, largest + 1, dtype=np.float32)
    steps = np.stack([steps, np.abs(steps)])
    for form in VECTOR_FORMS.values():
        order = kernel_order(form, steps.shape[1], kind)
        found, sums = integer_operand(steps, form, kind)
        assert found.dtype == kind
        assert (found[:, order >= 0] == steps[:, order[order >= 0]]).all()
        assert not found[:, order < 0].any()
        assert sorted(order[order >= 0]) == list(range(steps.shape[1]))
        assert sums.tolist() == [0, largest * (largest + 1)]


def test_int16_operands_hold_even_columns_before_odd_ones():
    for form in VECTOR_FORMS.values():
        order, plain = kernel_order(form, 500, "int16"), kernel_order(form, 500, "int8")
        pairs = plain.reshape(-1, 16, 2)
        assert (order.reshape(-1, 2, 16) == np.stack([pairs[..., 0], pairs[..., 1]], 1)).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_the_scale_of_a_row_that_is_not_finite_is_not(bad):
    x = np.ones((3, 4), np.float32)
    x[1, 2] = bad
    assert np.isfinite(quantize_activations(x, "int8").scale).tolist() == [True, False, True]
