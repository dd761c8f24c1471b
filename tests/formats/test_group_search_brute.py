"""Scales, shared bits and special values found together, against trying everything."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amssim import reference
from amssim.errors import SchemeError
from amssim.formats import Ams, JointAms, NegativeZero, Permuted, find_format
from amssim.formats.ams.group_search import GroupSearch
from amssim.formats.ams.joint import SCALE_FACTORS, joint_scales
from amssim.formats.ams.permutation import COLUMN_ORDERS, by_affinity
from amssim.scheme import scheme

SEEDS = st.integers(0, 2**32 - 1)
ELEMENT = scheme("fp4.5").minifloat


def drawn(seed, shape):
    return np.random.default_rng(seed).standard_t(5, shape).astype(np.float32)


def least_group_error(group, importance, scale):
    """Least weighted error of a group over both shared bits and every code that has it."""
    errors = []
    for bit in (0, 1):
        grid = ELEMENT.values[bit::2].astype(np.float64) * float(scale)
        distance = np.abs(group.astype(np.float64)[:, None] - grid).min(axis=1)
        errors.append((importance * distance**2).sum())
    return min(errors)


@settings(max_examples=40)
@given(SEEDS, st.integers(1, 9), st.sampled_from([2, 4, 8]))
def test_groups_take_the_better_bit(seed, cols, block):
    w = drawn(seed, (2, cols))
    h = np.random.default_rng(seed + 1).uniform(0.1, 3, cols).astype(np.float32)
    search = GroupSearch(w, h, 2, block)
    scales = np.random.default_rng(seed + 2).uniform(0.1, 1, (2, -(-cols // block)))
    scales = scales.astype(np.float32)
    tables = Ams("fp4.5").tables
    errors = search.errors(scales, tables)
    for i in range(2):
        for b in range(scales.shape[1]):
            starts = range(b * block, min((b + 1) * block, cols), 2)
            groups = [slice(s, min(s + 2, cols)) for s in starts]
            least = sum(least_group_error(w[i, g], h[g], scales[i, b]) for g in groups)
            assert errors[i, b] == pytest.approx(least, rel=1e-4, abs=1e-7)
    chosen = search.chosen(scales, tables)
    values = search.values(scales, tables) * np.repeat(scales, block, axis=1)[:, :cols]
    assert chosen.shape == (2, -(-cols // 2))
    assert (h * (w - values) ** 2).sum() == pytest.approx(errors.sum(), rel=1e-4, abs=1e-7)


@settings(max_examples=20)
@given(SEEDS)
def test_joint_scales_are_at_least_as_good_as_each_factor(seed):
    w, h = drawn(seed, (3, 24)), np.ones(24, np.float32)
    search, tables = GroupSearch(w, h, 2, 12), Ams("fp4.5").tables
    base = np.abs(w).reshape(3, 2, 12).max(axis=2) / np.float32(7)
    found = search.errors(joint_scales(search, tables, base), tables)
    for factor in SCALE_FACTORS:
        assert (found <= search.errors(base * np.float32(factor), tables) * (1 + 1e-9)).all()


@settings(max_examples=20)
@given(SEEDS)
def test_one_round_less_is_never_better(seed):
    w = drawn(seed, (3, 24))
    search, tables = GroupSearch(w, np.ones(24, np.float32), 2, 24), Ams("fp4.5").tables
    base = np.abs(w).max(axis=1, keepdims=True) / np.float32(7)
    errors = [
        search.errors(joint_scales(search, tables, base, rounds=n), tables).sum() for n in range(4)
    ]
    assert errors == sorted(errors, reverse=True)


def test_blocks_that_cut_a_group_are_refused_unless_they_hold_the_row():
    with pytest.raises(SchemeError, match="scale blocks of 10 columns cut groups of 4"):
        JointAms("fp4.25", scale_block=10).quantize(drawn(0, (2, 20)))
    whole = JointAms("fp4.25", scale_block=30).quantize(drawn(0, (2, 20)))
    assert whole.parts["scales"].shape == (2, 1)


@pytest.mark.parametrize("seed", range(4))
def test_the_special_value_by_trying_all(seed):
    """At the scale found, no special value, sign or code leaves less error in one group."""
    w = drawn(seed, (1, 2))
    form = NegativeZero("fp4.5")
    stored = form.quantize(w)
    scale = np.abs(stored.parts["scales"][0, 0]).astype(np.float64)
    special = ELEMENT.values[int(stored.parts["special"][0])]
    left = ((w - stored.dequantize()).astype(np.float64) ** 2).sum()
    grids = [
        np.append(ELEMENT.values[0::2], sign * special) if bit == 0 else ELEMENT.values[1::2]
        for sign, bit in product((1, -1), (0, 1))
    ]
    errors = [
        (np.abs(w[0].astype(np.float64)[:, None] - grid * scale).min(axis=1) ** 2).sum()
        for grid in grids
    ]
    assert left == pytest.approx(min(errors), rel=1e-4, abs=1e-10)


@settings(max_examples=20)
@given(SEEDS, st.sampled_from(COLUMN_ORDERS), st.integers(2, 20))
def test_permutations_store_a_permutation_and_undo_it(seed, order, cols):
    w = drawn(seed, (4, cols))
    moments = np.random.default_rng(seed).uniform(0.1, 2, cols)
    inner = Ams("fp4.5")
    stored = Permuted(inner, order).quantize(w, moments)
    columns = stored.parts["columns"]
    assert sorted(columns.tolist()) == list(range(cols))
    moved = inner.quantize(np.ascontiguousarray(w[:, columns])).dequantize()
    assert np.array_equal(stored.dequantize()[:, columns], moved)


@settings(max_examples=20)
@given(SEEDS, st.integers(1, 17))
def test_affinity_groups_every_column_once(seed, cols):
    columns = by_affinity(drawn(seed, (5, cols)), scheme("fp4.25"))
    assert sorted(columns.tolist()) == list(range(cols))


@pytest.mark.parametrize("name", ["fp4.25", "fp5.33", "ams-e3m1-k5"])
@pytest.mark.parametrize("block", [None, 10])
def test_ams_as_a_format_is_the_specification(name, block):
    w = drawn(3, (4, 37))
    stored = find_format(name, scale_block=block).quantize(w)
    words, scales = reference.quantize(w, scheme(name), scale_block=block)
    assert np.array_equal(stored.parts["words"], words)
    assert np.array_equal(stored.parts["scales"], scales)
    restored = reference.dequantize(words, scales, scheme(name), 37, block)
    assert np.array_equal(stored.dequantize(), restored)
