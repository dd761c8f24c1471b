"""Blocks of columns against loops over columns, and float16 against the standard library's."""

import struct
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_np

from amssim.errors import InputError, SchemeError
from amssim.formats.rounding.blocks import (
    absmax,
    block_count,
    check_filled,
    check_positive,
    check_width,
    extremes,
    half_scales,
    half_values,
    in_blocks,
    per_column,
    scales_to_limit,
)

SMALL = st.floats(-1e4, 1e4, width=32)
SHAPES = st_np.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9)
MATRICES = SHAPES.flatmap(lambda shape: st_np.arrays(np.float32, shape, elements=SMALL))
WIDTHS = st.integers(1, 12)


def blocks_of(row, block):
    """A row's blocks, the last one as short as it is."""
    return [row[start : start + block] for start in range(0, len(row), block)]


@given(MATRICES, WIDTHS)
def test_blocks_hold_their_columns_and_zeros(matrix, block):
    filled = in_blocks(matrix, block)
    assert filled.shape == (len(matrix), block_count(matrix.shape[1], block), block)
    for row, found in zip(matrix, filled, strict=True):
        for own, wide in zip(blocks_of(row, block), found, strict=True):
            assert wide[: len(own)].tolist() == own.tolist()
            assert not wide[len(own) :].any()


@given(MATRICES, WIDTHS)
def test_largest_and_extreme_weights_of_each_block(matrix, block):
    low, high = extremes(matrix, block)
    largest = absmax(matrix, block)
    for i, row in enumerate(matrix):
        for b, own in enumerate(blocks_of(row.tolist(), block)):
            assert largest[i, b] == max(abs(w) for w in own)
            assert low[i, b] == min([0.0, *own])
            assert high[i, b] == max([0.0, *own])


@given(st.integers(1, 6), WIDTHS, st.integers(1, 30))
def test_a_number_per_block_reaches_its_columns(rows, block, cols):
    numbers = np.arange(rows * block_count(cols, block)).reshape(rows, -1)
    spread = per_column(numbers, block, cols)
    assert spread.shape == (rows, cols)
    assert all(spread[i, j] == numbers[i, j // block] for i in range(rows) for j in range(cols))


@given(MATRICES, WIDTHS, st.sampled_from([1.0, 3.5, 7.0, 448.0]))
def test_absmax_scales_map_the_largest_weight_to_the_limit(matrix, block, limit):
    scales = scales_to_limit(matrix, block, limit)
    for i, row in enumerate(matrix):
        for b, own in enumerate(blocks_of(row, block)):
            largest = np.abs(own).max()
            least = np.finfo(np.float32).smallest_normal
            expected = 1.0 if largest == 0 else max(largest / np.float32(limit), least)
            assert scales[i, b] == np.float32(expected)
            assert scales[i, b] > 0


@given(st.floats(-65504, 65504, width=32))
def test_half_values_are_those_of_the_struct_module(value):
    (expected,) = struct.unpack("<e", struct.pack("<e", value))
    assert half_values(np.float32([value]))[0] == expected


@given(st.floats(-65504, 65504, width=32))
def test_half_scales_are_never_zero_and_keep_their_sign(value):
    scale = half_scales(np.float32([[value]]))[0, 0]
    if value == 0:
        assert scale == 1
    else:
        assert scale != 0 and np.signbit(scale) == np.signbit(np.float32(value))
        error = abs(Fraction(float(scale)) - Fraction(value))
        assert error <= max(Fraction(abs(value)) / 2048, Fraction(1, 2**24))


@pytest.mark.parametrize("value", [65536.0, -1e9])
def test_scales_beyond_float16_are_refused(value):
    with pytest.raises(InputError, match=r"float16 number of .* and float16 ends at 65504: divide"):
        half_scales(np.float32([[1.0, value]]))


@pytest.mark.parametrize("size", [0, -1, 2.0, "4", True, None])
def test_sizes_that_are_no_positive_whole_numbers(size):
    with pytest.raises(SchemeError, match=r"^scale_block must be a positive whole number, found"):
        check_positive(bits=4, scale_block=size)


def test_sizes_of_numpy_are_sizes():
    check_positive(scale_block=np.int64(3), planes=2)


def test_widths_and_lists_of_candidates():
    check_width("int", 4, 2, 8)
    with pytest.raises(SchemeError, match="int takes 2 to 8 bits, found 9"):
        check_width("int", 9, 2, 8)
    with pytest.raises(SchemeError, match="bits must be a positive whole number, found 0"):
        check_width("int", 0, 2, 8)
    with pytest.raises(SchemeError, match="factors must have at least one entry"):
        check_filled(factors=())
    check_filled(factors=(1.0,))
