"""Restoring under every choice against the specification and against search by hand."""

import numpy as np
import pytest

from amssim import reference, scheme
from amssim.errors import InputError, SchemeError
from amssim.quality.sharing.options import WEIGHT_ORDERS, SharingOptions
from amssim.quality.sharing.restore import reordered, restore
from amssim.rules import SCALE_RULES, SEARCH_RULES
from amssim.tensor.packed import PackedTensor

WEIGHTS = np.random.default_rng(4).standard_t(4, (6, 50)).astype(np.float32)
IMPORTANCE = np.random.default_rng(5).uniform(0.1, 9, 50).astype(np.float32)


def by_specification(weights, choice, importance=None):
    s, options = choice.scheme, (choice.scale_block,)
    words, scales = reference.quantize(
        weights, s, choice.search, choice.scale, *options, importance
    )
    return reference.dequantize(words, scales, s, weights.shape[1], *options)


@pytest.mark.parametrize("search", SEARCH_RULES)
@pytest.mark.parametrize("rule", SCALE_RULES)
@pytest.mark.parametrize("block", [None, 16])
def test_sharing_along_rows_is_the_specification(search, rule, block):
    choice = SharingOptions(scheme("fp4.25"), search=search, scale=rule, scale_block=block)
    assert (restore(WEIGHTS, choice) == by_specification(WEIGHTS, choice)).all()


def test_a_weighted_search_uses_the_importance():
    choice = SharingOptions(scheme("fp5.33"), weighted=True)
    found = restore(WEIGHTS, choice, importance=IMPORTANCE)
    assert (found == by_specification(WEIGHTS, choice, IMPORTANCE)).all()
    assert (
        found != restore(WEIGHTS, SharingOptions(scheme("fp5.33")), importance=IMPORTANCE)
    ).any()


def best_of_column_groups(weights, element, k, scales):
    """Squared error of the best shared bit of each k rows of a column, in units of weights."""
    total = 0.0
    for column in range(weights.shape[1]):
        for start in range(0, len(weights), k):
            rows = slice(start, min(start + k, len(weights)))
            w, s = weights[rows, column].astype(float), scales[rows, column].astype(float)
            errors = []
            for bit in (0, 1):
                grid = element.values[bit::2].astype(float)
                errors.append(sum(min((v * t - x) ** 2 for v in grid) for x, t in zip(w, s)))  # noqa: B905
            total += min(errors)
    return total


@pytest.mark.parametrize("block", [None, 20])
def test_sharing_across_rows_finds_the_best_bits(block):
    name, k = "ams-e2m2-k3", 3  # 6 rows: whole groups
    choice = SharingOptions(scheme(name), scale_block=block, share_axis="output")
    restored = restore(WEIGHTS, choice)
    element = scheme(name).minifloat
    scales = reference.find_scales(WEIGHTS, scheme(name), scale_block=block)
    spread = reference.spread(scales, 50, block)
    codes = np.searchsorted(np.unique(np.abs(element.values)), np.abs(restored / spread) - 1e-6)
    for start in (0, 3):  # one last bit per column and group
        last = codes[start : start + 3] & 1
        assert (last == last[0]).all()
    error = ((WEIGHTS.astype(float) - restored) ** 2).sum()
    expected = best_of_column_groups(WEIGHTS, element, k, spread)
    assert error == pytest.approx(expected, rel=1e-6)


def test_sharing_across_rows_with_a_part_group():
    choice = SharingOptions(scheme("fp4.25"), share_axis="output")
    restored = restore(WEIGHTS, choice)
    assert restored.shape == WEIGHTS.shape
    assert np.abs(WEIGHTS - restored).max() < 0.6 * np.abs(WEIGHTS).max()


def test_orders_keep_each_row_and_sort_what_they_say():
    for order in WEIGHT_ORDERS:
        arranged = reordered(WEIGHTS, order)
        assert (np.sort(arranged, axis=1) == np.sort(WEIGHTS, axis=1)).all()
    assert (np.diff(np.abs(reordered(WEIGHTS, "magnitude"))) >= 0).all()
    columns = reordered(WEIGHTS, "columns")
    assert (np.diff((columns.astype(float) ** 2).sum(axis=0)) >= 0).all()
    assert {tuple(c) for c in columns.T} == {tuple(c) for c in WEIGHTS.T}


@pytest.mark.parametrize("name", ["fp5.33", "fp4.25", "fp6-e2m3", "ams-e3m1-k5"])
@pytest.mark.parametrize("block", [None, 7])
def test_effective_bits_are_those_of_the_packed_tensor(name, block):
    words, scales = reference.quantize(WEIGHTS, scheme(name), scale_block=block)
    packed = PackedTensor(scheme(name), WEIGHTS.shape, words, scales, block)
    choice = SharingOptions(scheme(name), scale_block=block)
    assert choice.effective_bits(WEIGHTS.shape) == packed.effective_bits


def test_choices_that_make_no_sense():
    with pytest.raises(SchemeError, match="unknown share axis 'both': choose one of input, output"):
        SharingOptions(scheme("fp4.25"), share_axis="both")
    with pytest.raises(SchemeError, match="scale_block must be a positive whole number, found 0"):
        SharingOptions("fp4.25", scale_block=0)
    with pytest.raises(SchemeError, match="unknown order 'random'"):
        SharingOptions(scheme("fp4.25"), order="random")
    with pytest.raises(InputError, match="weighted search needs share_axis='input'"):
        SharingOptions(scheme("fp4.25"), share_axis="output", weighted=True)
    with pytest.raises(InputError, match="weighted search needs activations"):
        restore(WEIGHTS, SharingOptions(scheme("fp4.25"), weighted=True))
