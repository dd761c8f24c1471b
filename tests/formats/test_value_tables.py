"""Rounding to a table's entries against exact fractions, and errors against sums written out."""

from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amssim.formats.ams.sub_tables import codes_of_entries, sub_tables
from amssim.formats.rounding.table import Table, integer_table, least, minifloat_table
from amssim.minifloat import Minifloat
from amssim.scheme import Scheme, scheme

#: Values whose midpoints are float32 numbers, so that ties can be hit.
STEPS = st.integers(-64, 64).map(lambda i: i / 8)
TABLES = st.lists(STEPS, min_size=1, max_size=9, unique=True).map(lambda v: Table(tuple(sorted(v))))


def nearest_by_fractions(table, x):
    """Indices of the entries that are nearest to ``x``, exactly."""
    distances = [abs(Fraction(v) - Fraction(float(x))) for v in table.values]
    return [i for i, d in enumerate(distances) if d == min(distances)]


@given(TABLES, st.lists(st.integers(-1100, 1100).map(lambda i: i / 128), min_size=1, max_size=8))
def test_codes_are_the_nearest_entries(table, numbers):
    x = np.float32([numbers])
    codes = table.codes(x, np.ones((1, 1)), len(numbers))
    for code, number in zip(codes[0].tolist(), numbers, strict=True):
        assert code in nearest_by_fractions(table, number)


@given(TABLES)
def test_ties_go_to_an_even_number_of_steps_from_zero(table):
    zero = table.values.index(0.0) if 0.0 in table.values else None
    middles = [(a + b) / 2 for a, b in zip(table.values, table.values[1:])]  # noqa: B905
    if not middles:
        return
    codes = table.codes(np.float32([middles]), np.ones((1, 1)), len(middles))[0].tolist()
    for lower, code in enumerate(codes):
        if zero is None:
            assert code == lower
        else:
            assert code in (lower, lower + 1) and (code - zero) % 2 == 0


@given(TABLES, st.integers(1, 5), st.data())
def test_errors_are_the_weighted_squares_of_what_is_left(table, block, data):
    cols = data.draw(st.integers(1, 9))
    numbers = st.lists(STEPS, min_size=cols, max_size=cols)
    w = np.float32([data.draw(numbers), data.draw(numbers)])
    h = np.float32(
        data.draw(st.lists(st.sampled_from([0.0, 1.0, 2.5]), min_size=cols, max_size=cols))
    )
    blocks = -(-cols // block)
    scales = np.float32([[1.0, 2.0][b % 2] for b in range(blocks)] * 2).reshape(2, blocks)
    found = table.errors(w, h, scales, block)
    for i in range(2):
        for b in range(blocks):
            total = Fraction(0)
            for j in range(b * block, min((b + 1) * block, cols)):
                s = Fraction(float(scales[i, b]))
                (best, *_) = nearest_by_fractions(table, w[i, j] / scales[i, b])
                left = Fraction(float(w[i, j])) - s * Fraction(table.values[best])
                total += Fraction(float(h[j])) * left**2
            assert found[i, b] == pytest.approx(float(total), rel=1e-6)


@pytest.mark.parametrize(
    ("widths", "dtype"),
    [
        ((2, 1), ml_dtypes.float4_e2m1fn),
        ((2, 3), ml_dtypes.float6_e2m3fn),
        ((3, 2), ml_dtypes.float6_e3m2fn),
    ],
)
def test_minifloat_tables_round_as_ml_dtypes_does(widths, dtype):
    table = minifloat_table(Minifloat(*widths))
    x = np.linspace(-table.limit, table.limit, 4001).astype(np.float32)
    ties = (table.array[1:] + table.array[:-1]) / 2
    x = np.concatenate([x, ties, table.array])
    rounded = table.values_of(table.codes(x[None], np.ones((1, 1)), len(x)))[0]
    assert np.array_equal(rounded, x.astype(dtype).astype(np.float32))


def test_integer_tables_round_half_to_even():
    x = np.float32([[-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 9, -9]])
    codes = integer_table(-8, 7).codes(x, np.ones((1, 1)), 8)
    assert integer_table(-8, 7).values_of(codes).tolist() == [[-2, -2, 0, 0, 2, 2, 7, -8]]
    assert integer_table(-8, 7).limit == 8


@given(
    st.lists(st.lists(st.integers(0, 5), min_size=4, max_size=4), min_size=1, max_size=5),
)
def test_the_first_of_equals_is_least(errors):
    found = least(np.array(e, np.float64) for e in errors)
    assert found.tolist() == [min(range(len(errors)), key=lambda n: errors[n][j]) for j in range(4)]


@pytest.mark.parametrize("name", ["fp4.25", "fp5.33", "ams-e3m2-k2", "fp6-e2m3", "fp4-e2m1"])
def test_sub_tables_share_out_the_codes(name):
    form = scheme(name)
    element = form.minifloat
    tables = sub_tables(form)
    assert len(tables) == (1 if form.k == 1 else 2)
    for bit, (table, codes) in enumerate(tables):
        assert element.values[codes].tolist() == list(table.values)
        assert (np.diff(table.array) > 0).all()
        if form.k > 1:
            assert (codes % 2 == bit).all()
    negative_zero = element.sign_bit
    assert all(negative_zero not in codes for _, codes in tables)
    assert sum(len(codes) for _, codes in tables) == 2**element.bits - 1


@given(st.integers(1, 5), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_codes_of_entries_look_up_the_chosen_table(k, cols, seed):
    form = Scheme(Minifloat(2, 2), k)
    rng = np.random.default_rng(seed)
    tables = sub_tables(form)
    chosen = rng.integers(0, len(tables), (3, -(-cols // k))).astype(np.uint8)
    indices = rng.integers(0, min(len(c) for _, c in tables), (3, cols)).astype(np.uint8)
    codes = codes_of_entries(form, indices, chosen)
    for i in range(3):
        for j in range(cols):
            assert codes[i, j] == tables[chosen[i, j // k]][1][indices[i, j]]
