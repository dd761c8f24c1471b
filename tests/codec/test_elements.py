"""Drafts, votes and values of single weights against exact arithmetic and the specification."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from amssim import Minifloat, reference, testing
from amssim.codec import elements
from amssim.codec.constants import element_numbers
from amssim.rules import SEARCH_RULES
from oracles import all_minifloats, gfloat_codes, gfloat_values, ties

ADAPTIVE, REPLACE, MAJORITY, ZERO, ONE = range(len(SEARCH_RULES))


@njit
def drafted(weights, scale, element, search, drafts, votes):
    elements.draft(weights, scale, element, search, drafts, votes)


@njit
def rounded(magnitudes, grid, indices, values):
    for i in range(magnitudes.size):
        indices[i], values[i], _ = elements.nearest_point(magnitudes[i], grid)


@njit
def decoded(codes, scale, element, weights):
    elements.decode(codes, scale, element, weights)


def draft(x, element, search, scale=1.0):
    """The drafts and votes of float32 weights."""
    x = np.asarray(x, np.float32)
    drafts, votes = np.empty(x.size, np.uint8), np.empty(x.size, np.float32)
    drafted(x, np.float32(scale), element_numbers(element), search, drafts, votes)
    return drafts, votes


def both_codes(drafts):
    """The even and the odd candidate that drafts stand for."""
    low = drafts & 1
    even = drafts - low
    return even, even + 1 - 2 * low


def magnitudes(element):
    """Every value, tie and neighbour of one, numbers far above and near zero, as x >= 0."""
    x = np.append(ties(element), np.float32([1e-40, 1e-30, 1e30, 3.4e38]))
    return np.unique(np.abs(x))


@pytest.mark.parametrize("widths", all_minifloats())
def test_nearest_points_are_those_of_the_specification_and_of_gfloat(widths):
    element = Minifloat(*widths)
    x, grid = magnitudes(element), element_numbers(element).full
    indices, values = np.empty(x.size, np.uint32), np.empty(x.size, np.float32)
    rounded(x.view(np.uint32), grid, indices, values)
    assert np.array_equal(indices, reference.nearest(x, element))
    assert np.array_equal(indices, gfloat_codes(x, element))
    assert np.array_equal(values, element.values[indices])


@pytest.mark.parametrize("widths", all_minifloats())
def test_a_draft_holds_the_nearest_code_for_either_shared_bit(widths):
    element = Minifloat(*widths)
    x = magnitudes(element)
    even, odd = both_codes(draft(x, element, ADAPTIVE)[0])
    inside = x <= element.max_value  # beyond it only the even code is drafted as a code
    assert np.array_equal(even, reference.nearest_with_bit(x, element, 0))
    assert np.array_equal(odd[inside], reference.nearest_with_bit(x[inside], element, 1))


@pytest.mark.parametrize("widths", all_minifloats())
def test_a_rounded_draft_holds_both_codes_with_the_nearest_ones_top_bits(widths):
    element = Minifloat(*widths)
    x = magnitudes(element)
    for search in (REPLACE, MAJORITY):
        even, odd = both_codes(draft(x, element, search)[0])
        nearest = reference.nearest(x, element)
        assert np.array_equal(even, nearest & 0xFE)
        assert np.array_equal(odd, nearest | 1)


@pytest.mark.parametrize("search", [ADAPTIVE, REPLACE])
@pytest.mark.parametrize("widths", all_minifloats())
def test_a_vote_is_the_exact_difference_of_squared_errors_rounded(widths, search):
    element = Minifloat(*widths)
    x = magnitudes(element)
    x = x[(x <= element.max_value) & (x >= element.min_subnormal / 64)]
    drafts, votes = draft(x, element, search)
    values = [Fraction(float(v)) for v in element.values]
    for w, even, odd, vote in zip(x, *both_codes(drafts), votes, strict=True):
        a, v0, v1 = Fraction(float(w)), values[even], values[odd]
        exact = (a - v1) ** 2 - (a - v0) ** 2
        assert abs(Fraction(float(vote)) - exact) <= abs(v1 - v0) * a * Fraction(1, 2**21)
        if exact == 0 or abs(exact) > abs(v1 - v0) * a * Fraction(1, 2**21):
            assert (vote < 0) == (exact < 0)


@pytest.mark.parametrize("widths", all_minifloats())
def test_votes_of_the_counting_and_fixing_rules(widths):
    element = Minifloat(*widths)
    x = magnitudes(element)
    last = reference.nearest(x, element) & 1
    assert np.array_equal(draft(x, element, MAJORITY)[1], np.where(last, -1, 1))
    assert (draft(x, element, ZERO)[1] == 1).all()
    assert (draft(x, element, ONE)[1] == -1).all()


@given(st.data())
@settings(max_examples=60)
def test_signs_change_nothing_but_the_sign(data):
    element = data.draw(testing.minifloats())
    search = data.draw(st.sampled_from(range(len(SEARCH_RULES))))
    x = data.draw(testing.weights(shape=(1, 20), extremes=False))[0]
    x = x[x != 0]
    drafts, votes = draft(np.abs(x), element, search)
    signed, same = draft(x, element, search)
    assert np.array_equal(same, votes)
    assert np.array_equal(signed, drafts | np.where(x < 0, element.sign_bit, 0))


def test_a_negative_zero_is_drafted_as_zero():
    drafts, votes = draft([0.0, -0.0], Minifloat(2, 3), ADAPTIVE)
    assert drafts.tolist() == [0, 0] and votes[0] == votes[1] > 0


@given(st.data())
@settings(max_examples=60)
def test_weights_are_divided_by_the_scale(data):
    element = data.draw(testing.minifloats())
    scale = np.float32(data.draw(st.floats(2**-7, 100, width=32)))
    x = data.draw(testing.weights(shape=(1, 30), extremes=False))[0]
    for found, wanted in zip(
        draft(x, element, ADAPTIVE, scale), draft(x / scale, element, ADAPTIVE), strict=True
    ):
        assert np.array_equal(found, wanted)


@pytest.mark.parametrize("widths", all_minifloats())
def test_every_code_has_gfloats_value(widths):
    element = Minifloat(*widths)
    codes, weights = np.arange(2**element.bits, dtype=np.uint8), np.empty(2**element.bits, "f4")
    decoded(codes, np.float32(1), element_numbers(element), weights)
    assert np.array_equal(weights, gfloat_values(element))
    assert np.array_equal(np.signbit(weights), codes >= element.sign_bit)
