import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amssim import InputError
from amssim.cpu.activations import LARGEST_STEP, as_columns, check_activations, quantize_columns
from amssim.cpu.layouts import LAYOUTS
from amssim.cpu.operands import integers, kernel_order


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64])
def test_columns_of_any_strides_become_contiguous_float32(dtype):
    x = np.arange(48).reshape(6, 8).astype(dtype)
    for view in (x, x[::-1, ::2], np.asfortranarray(x), x[:, 3], x[::2, 1]):
        found = as_columns(view, len(view))
        assert found.dtype == np.float32
        assert found.flags.c_contiguous
        assert (found == np.atleast_2d(view.astype(np.float32).T)).all()


def test_float64_beyond_float32_is_infinite():
    assert np.isposinf(as_columns(np.float64([1e39]), 1)).all()


@pytest.mark.parametrize("kind", ["int8", "int16"])
def test_steps_are_the_documented_rule(kind):
    x = np.random.default_rng(0).standard_normal((5, 300)).astype(np.float32)
    x[1], x[2] = 0, np.float32(1e-44)
    x[3] *= np.float32(1e38) / np.abs(x[3]).max() * np.float32(3.4)
    steps, scale = quantize_columns(x, kind)
    largest = np.float32(LARGEST_STEP[kind])
    wanted = np.maximum(np.abs(x).max(axis=1) / largest, np.finfo(np.float32).tiny)
    assert (scale == wanted).all()
    assert (steps == np.rint(x / wanted[:, None])).all()
    assert np.abs(steps).max(axis=1).tolist() == [largest, 0, 0, largest, largest]


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1))
def test_no_step_exceeds_the_largest(x):
    for kind, largest in LARGEST_STEP.items():
        steps = quantize_columns(np.float32([x]), kind).steps
        assert np.abs(steps).max() <= largest


@pytest.mark.parametrize("kind", ["int8", "int16"])
def test_operands_are_padded_with_zeros_and_keep_every_step(kind):
    largest = LARGEST_STEP[kind]
    steps = np.arange(-largest, largest + 1, dtype=np.float32)
    steps = np.stack([steps, np.abs(steps)])
    for s in LAYOUTS:
        order = kernel_order(s, steps.shape[1], kind)
        found, sums = integers(steps, s, kind)
        assert found.dtype == kind
        assert (found[:, order >= 0] == steps[:, order[order >= 0]]).all()
        assert not found[:, order < 0].any()
        assert sorted(order[order >= 0]) == list(range(steps.shape[1]))
        assert sums.tolist() == [0, largest * (largest + 1)]


def test_int16_operands_hold_even_columns_before_odd_ones():
    for s in LAYOUTS:
        order, plain = kernel_order(s, 500, "int16"), kernel_order(s, 500, "int8")
        pairs = plain.reshape(-1, 16, 2)
        assert (order.reshape(-1, 2, 16) == np.stack([pairs[..., 0], pairs[..., 1]], 1)).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_integers_need_finite_numbers(bad):
    x = np.zeros((4, 3), np.float32)
    x[2, 1] = x[3, 0] = bad
    with pytest.raises(InputError, match=r"\(count 2, the first in row 2, column 1\): int8 act"):
        quantize_columns(as_columns(x, 4), "int8")


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ([1, 2, 3], "x must be float16, bfloat16, float32, float64, found int64: convert it"),
        (np.zeros(3, complex), "found complex128"),
        (np.zeros(4), r"x must have shape \(3,\) or \(3, batch\) .* 3 columns, found \(4,\)"),
        (np.zeros((2, 3)), r"found \(2, 3\)"),
        (np.zeros((3, 1, 1)), r"found \(3, 1, 1\)"),
        (np.float32(1), r"found \(\)"),
        ([[1.0], [2.0, 3.0]], "x is not an array"),
    ],
)
def test_what_is_no_column_is_refused(x, message):
    with pytest.raises(InputError, match=message):
        as_columns(x, 3)


def test_unknown_activations_are_named():
    with pytest.raises(InputError, match="unknown activations 'int4': choose one of float32,"):
        check_activations("int4")
