"""The checks that several parts share: what they refuse, and in whose words."""

from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amssim import InputError, _checks, _whole


@pytest.mark.parametrize("value", [1, 7, np.int8(3), np.uint64(2**63), 2**70])
def test_positive_whole_numbers(value):
    assert _whole.is_positive_whole(value)


@pytest.mark.parametrize(
    "value", [0, -1, 1.0, "1", None, True, np.True_, Fraction(2), np.float32(2)]
)
def test_what_is_no_positive_whole_number(value):
    assert not _whole.is_positive_whole(value)


@given(st.integers(1, 100), st.integers(1, 100))
def test_a_scale_block_is_kept_where_it_is_narrower_than_the_row(block, columns):
    kept = _whole.check_scale_block(np.int64(block), columns)
    assert kept == (block if block < columns else None)
    assert kept is None or type(kept) is int
    assert _whole.check_scale_block(None, columns) is None


@pytest.mark.parametrize(
    ("block", "said"), [(0, "0"), (-4, "-4"), (2.0, "2.0"), ("8", "'8'"), (True, "True")]
)
def test_scale_blocks_that_make_no_sense(block, said):
    with pytest.raises(InputError) as refused:
        _whole.check_scale_block(block, 10)
    assert str(refused.value) == f"scale_block must be a positive number of columns, found {said}"


FLOATS = [np.float16, np.float32, np.float64, ml_dtypes.bfloat16]
OTHERS = [np.int8, np.uint32, bool, complex, object, "U1", ml_dtypes.float8_e4m3fn]


def test_dtypes_that_are_floats():
    for dtype in FLOATS:
        array = np.ones(1, dtype)
        assert _checks.has_floats(array) and _checks.has_weight_floats(array)
        assert array.dtype.name in _checks.FLOATS
    wide = np.ones(1, np.longdouble)  # a float, but none that weights may have
    assert _checks.has_floats(wide) and not _checks.has_weight_floats(wide)
    for dtype in OTHERS:
        array = np.zeros(1, dtype)
        assert not _checks.has_floats(array) and not _checks.has_weight_floats(array)


@pytest.mark.parametrize(
    ("shape", "matrix", "filled"),
    [((2, 3), True, True), ((0, 3), True, False), ((3,), False, True), ((), False, True)],
)
def test_shapes_of_matrices(shape, matrix, filled):
    array = np.zeros(shape)
    assert _checks.is_matrix(array) is matrix
    assert _checks.is_filled(array) is filled
    assert _checks.is_filled_matrix(array) is (matrix and filled)


RULES = (
    (_checks.is_matrix, "{name} is no matrix: {kind}"),
    (_checks.has_floats, "{name} has dtype {dtype}"),
    (_checks.is_filled, "{name} is empty, shape {shape}"),
)


@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (np.zeros(3), "W is no matrix: float64[3]"),
        (np.zeros((0, 1), int), "W has dtype int64"),
        (np.zeros((0, 1)), "W is empty, shape [0, 1]"),
    ],
)
def test_the_first_rule_that_fails_speaks(array, sentence):
    with pytest.raises(InputError) as refused:
        _checks.check_array(array, "W", *RULES)
    assert str(refused.value) == sentence


def test_an_array_that_meets_every_rule_is_returned_itself():
    array = np.ones((2, 2))
    assert _checks.check_array(array, "W", *RULES) is array


def test_braces_in_a_name_are_only_a_name():
    with pytest.raises(InputError, match=r"^\{kind\} is no matrix: float64\[3\]$"):
        _checks.check_array(np.zeros(3), "{kind}", *RULES)


def test_what_cannot_be_read_as_an_array():
    array = np.ones(3)
    assert _checks.as_array(array, "x") is array
    with pytest.raises(InputError, match=r"^x cannot be read as an array: .*inhomogeneous"):
        _checks.as_array([[1], [1, 2]], "x")


@st.composite
def matrices_with_wrong_places(draw):
    rows, columns = draw(st.integers(1, 12)), draw(st.integers(1, 6))
    wrong = draw(st.sets(st.tuples(st.integers(0, rows - 1), st.integers(0, columns - 1))))
    matrix = np.zeros((rows, columns))
    for place in wrong:
        matrix[place] = draw(st.sampled_from([np.nan, np.inf, -np.inf]))
    return matrix, sorted(wrong)


@given(matrices_with_wrong_places(), st.integers(1, 5))
def test_wrong_numbers_are_counted_and_the_first_is_named(case, height):
    matrix, places = case
    blocks = [((i,), matrix[i : i + height]) for i in range(0, len(matrix), height)]
    assert _checks.find_wrong(blocks) == (len(places), places[0] if places else ())


def test_places_in_a_stack_of_matrices_have_an_index_more():
    stack = np.zeros((3, 4, 2))
    stack[1, 2, 1] = stack[2, 0, 0] = np.inf
    blocks = [((m, r), stack[m, r : r + 2]) for m in range(3) for r in (0, 2)]
    assert _checks.find_wrong(blocks) == (2, (1, 2, 1))


def test_other_conditions_than_finite():
    matrix = np.float32([[1, 2], [3, 4]])
    assert _checks.find_wrong([((0,), matrix)], lambda part: part > 2.5) == (2, (1, 0))


@given(matrices_with_wrong_places())
def test_finite_or_a_sentence(case):
    matrix, places = case
    sentence = "{name} has {count}, the first at {first}"
    if not places:
        _checks.check_finite(matrix, "W", sentence)
        return
    with pytest.raises(InputError) as refused:
        _checks.check_finite(matrix, "W", sentence)
    assert str(refused.value) == f"W has {len(places)}, the first at {list(places[0])}"


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros((2, 3), np.float32), "float32[2, 3]"),
        (np.zeros(0, ml_dtypes.bfloat16), "bfloat16[0]"),
        (np.zeros((), ">i2"), "int16[]"),
    ],
)
def test_kinds(array, said):
    assert _checks.kind(array) == said
