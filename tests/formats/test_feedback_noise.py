"""Error feedback by what it is for, least output noise; and nothing where inputs say nothing."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amssim.formats import find_format
from amssim.formats.rounding.feedback import inverse_factor, round_with_feedback
from amssim.formats.rounding.table import Table, integer_table

TABLE = integer_table(-4, 3)
SEEDS = st.integers(0, 2**32 - 1)


def correlated(seed, cols):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((4 * cols, cols)) @ (
        np.eye(cols) + 0.5 * rng.standard_normal((cols, cols))
    )
    h = x.T @ x
    return h * cols / np.trace(h)


def noise(weights, restored, hessian):
    e = weights.astype(np.float64) - restored
    return np.einsum("ij,jk,ik->i", e, hessian, e)


def restored_by_feedback(w, h, tables, k):
    codes, chosen = round_with_feedback(w, np.ones_like(w), h, tables, k)
    each = np.repeat(chosen, k, axis=1)[:, : w.shape[1]]
    return np.choose(each, [t.array.take(codes, mode="clip") for t in tables])


@given(SEEDS)
def test_inputs_that_do_not_mix_leave_plain_rounding(seed):
    rng = np.random.default_rng(seed)
    w = rng.uniform(-4, 3, (3, 10)).astype(np.float32)
    h = np.diag(rng.uniform(0.1, 2, 10))
    codes, _ = round_with_feedback(w, np.ones_like(w), h, [TABLE], 1)
    assert np.array_equal(TABLE.values_of(codes), np.clip(np.rint(w), -4, 3))


@settings(max_examples=25)
@given(SEEDS)
def test_the_last_column_is_rounded_to_the_least_noise_given_the_others(seed):
    """Whatever came before, no other entry for the last weight leaves less output noise."""
    rng = np.random.default_rng(seed)
    w, h = rng.uniform(-3, 3, (1, 6)).astype(np.float32), correlated(seed, 6)
    damped = h + 0.01 * np.eye(6)
    found = restored_by_feedback(w, h, [TABLE], 1)
    own = noise(w, found, damped)[0]
    for value in TABLE.values:
        other = found.copy()
        other[0, -1] = value
        assert own <= noise(w, other, damped)[0] * (1 + 1e-5) + 1e-6


def test_feedback_comes_near_the_best_of_all_roundings():
    table = Table((-1.0, 0.0, 1.0))
    plain_total = fed_total = best_total = 0.0
    for seed in range(20):
        w, h = (
            np.random.default_rng(seed).uniform(-1, 1, (1, 6)).astype(np.float32),
            correlated(seed, 6),
        )
        every = np.array(list(product(table.values, repeat=6)))
        best_total += noise(np.repeat(w, len(every), axis=0), every, h).min()
        plain_total += noise(w, np.rint(w), h)[0]
        fed_total += noise(w, restored_by_feedback(w, h, [table], 1), h)[0]
    assert best_total <= fed_total < 0.7 * plain_total
    assert fed_total < 1.6 * best_total


def test_a_group_has_one_table():
    even, odd = Table((-2.0, 0.0, 2.0)), Table((-3.0, -1.0, 1.0, 3.0))
    w, h = np.random.default_rng(3).uniform(-3, 3, (5, 11)).astype(np.float32), correlated(3, 11)
    found = restored_by_feedback(w, h, [even, odd], 4)
    for row in found:
        for start in range(0, 11, 4):
            parity = np.abs(row[start : start + 4]) % 2
            assert (parity == parity[0]).all()


def test_blocks_of_updates_do_not_change_the_result():
    """More columns than are updated by one product: the same as with all at once."""
    w, h = np.random.default_rng(5).standard_normal((2, 200)).astype(np.float32), correlated(5, 200)
    codes, _ = round_with_feedback(w, np.full_like(w, 0.5), h, [TABLE], 1)
    factor, rest = inverse_factor(h), w.astype(np.float64)
    for j in range(200):
        value = np.clip(np.rint(rest[:, j] / 0.5), -4, 3) * 0.5
        assert np.array_equal(TABLE.values_of(codes[:, j]) * 0.5, value)
        rest[:, j:] -= np.outer((rest[:, j] - value) / factor[j, j], factor[j, j:])


@pytest.mark.parametrize("name", ["gptq-fp4.25", "gptq-int4", "signround4"])
def test_formats_that_see_products_lower_the_output_noise(name):
    w, h = np.random.default_rng(7).standard_normal((6, 64)).astype(np.float32), correlated(7, 64)
    form = find_format(name)
    blind = form.quantize(w, np.diag(h)).dequantize()
    seeing = form.quantize(w, h).dequantize()
    assert noise(w, seeing, h).sum() < 0.9 * noise(w, blind, h).sum()
