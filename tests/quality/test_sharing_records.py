"""Options of the study, the records they leave, and the sentences made of them."""

import inspect
import json
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amssim.errors import InputError, SchemeError
from amssim.quality.cost import QuantizationCost
from amssim.quality.layers.layer import LinearLayer
from amssim.quality.record import decibels, gap
from amssim.quality.sharing.options import DEFAULT_OPTIONS, SharingOptions, matching
from amssim.quality.sharing.restore import restore
from amssim.quality.sharing.study import default_study, sharing_study
from amssim.quality.sharing.summary import summarize
from amssim.rules import SCALE_RULES, SEARCH_RULES
from amssim.scheme import PUBLISHED, scheme

W = np.random.default_rng(1).standard_normal((6, 48)).astype(np.float32)
LAYER = LinearLayer("w", W)


def test_records_have_the_names_that_files_have():
    (record,) = sharing_study([LAYER], [SharingOptions("fp4.25")])
    assert list(record) == [
        "scheme", "element", "k", "search", "scale", "scale_block", "share_axis", "order",
        "weighted", "effective_bits", "count", "mse", "sqnr_db", "relative_frobenius", "cosine",
        "max_error", "p99_error",
    ]  # fmt: skip
    assert json.loads(json.dumps(record, allow_nan=False)) == record


def test_defaults_are_those_of_the_record():
    record = SharingOptions("fp4.25").as_dict()
    assert {n: record[n] for n in DEFAULT_OPTIONS} == DEFAULT_OPTIONS
    parameters = inspect.signature(SharingOptions).parameters
    assert all(parameters[n].kind is inspect.Parameter.KEYWORD_ONLY for n in DEFAULT_OPTIONS)


@given(st.sampled_from(["fp4.25", "fp5.33", "fp6-e2m3", "ams-e3m2-k5"]), st.integers(1, 300),
       st.none() | st.integers(1, 70))  # fmt: skip
def test_effective_bits_count_whole_blocks_of_groups_and_scales(name, cols, block):
    """Half-words of whole blocks of 16 groups where a bit is shared, and 32 bits per scale."""
    form = scheme(name)
    bits = SharingOptions(form, scale_block=block).effective_bits((3, cols))
    scales = -(-cols // block) if block else 1
    stored = bits * cols - 32 * scales
    assert stored % 16 == 0  # half-words
    assert stored >= form.bits * cols
    assert stored < form.bits * (cols + 16 * form.k) + 16


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"search": "best"}, SchemeError, "unknown search"),
        ({"scale": "max"}, SchemeError, "unknown scale"),
        ({"scale_block": 0}, SchemeError, "scale_block must be a positive whole number, found 0"),
        ({"scale_block": 2.5}, SchemeError, "scale_block must be a positive whole number"),
        ({"share_axis": "rows"}, SchemeError, "unknown share axis 'rows': choose one of input"),
        ({"order": "sorted"}, SchemeError, "unknown order 'sorted': choose one of stored"),
        ({"weighted": True, "order": "columns"}, InputError, "needs share_axis='input'"),
        ({"weighted": True, "share_axis": "output"}, InputError, "needs share_axis='input'"),
    ],
)
def test_options_that_make_no_sense(options, error, message):
    with pytest.raises(error, match=message):
        SharingOptions("fp4.25", **options)


def test_a_scheme_that_there_is_not():
    with pytest.raises(SchemeError, match="no scheme matches 9 bits: choose one of"):
        SharingOptions("fp9")


def test_the_study_varies_one_thing_at_a_time_around_the_published_formats():
    tried = default_study(weighted=True)
    assert len(tried) == len(set(tried))
    for options in tried:
        changed = {n for n, usual in DEFAULT_OPTIONS.items() if getattr(options, n) != usual}
        assert (
            changed <= {"scale", "scale_block"}
            or changed <= {"scale", "weighted"}
            or (len(changed) <= 1)
        )
    assert all(SharingOptions(s, search=r) in tried for s in PUBLISHED for r in SEARCH_RULES)
    assert all(SharingOptions(s, scale=r, scale_block=64) in tried
               for s in PUBLISHED for r in SCALE_RULES)  # fmt: skip
    assert not any(options.weighted for options in default_study())


def test_matching_records_differ_in_what_is_named_alone():
    records = [o.as_dict() for o in default_study()]
    assert [r["k"] for r in matching(records, element="e2m1")] == list(range(1, 9))
    rules = matching(records, scheme="fp4.25-e2m2", search=None)
    assert {r["search"] for r in rules} == set(SEARCH_RULES)
    blocks = matching(records, scheme="fp4.25-e2m2", scale_block=None)
    assert {r["scale_block"] for r in blocks} == {None, 512, 256, 128, 64}
    (row,) = matching(records, scheme="fp4.25-e2m2")
    assert row["scale_block"] is None and row["search"] == "adaptive"
    assert matching(records, scheme="fp3") == []


def test_the_summary_says_what_the_records_say():
    records = sharing_study([LAYER], default_study())
    said = summarize(records)
    assert [cost.split(":")[0] for cost, _ in said] == [s.name for s in PUBLISHED]
    for form, (cost, gain) in zip(PUBLISHED, said, strict=True):
        (own,) = matching(records, scheme=form.name)
        (whole,) = matching(records, element=form.minifloat.name, k=1)
        lost = whole["sqnr_db"] - own["sqnr_db"]
        assert f"{own['sqnr_db']:.2f} dB at {own['effective_bits']:.2f} bits" in cost
        assert cost.endswith(f"{lost:.2f} less than {whole['scheme']}")
        others = [r for r in matching(records, scheme=form.name, search=None)
                  if r["search"] != "adaptive"]  # fmt: skip
        best = max(others, key=lambda r: r["sqnr_db"])
        gained = own["sqnr_db"] - best["sqnr_db"]
        assert gain == f"{gained:.2f} more than with the next best search rule, {best['search']}"


def test_gaps_without_an_error_are_no_numbers():
    exact, lossy, worse = {"sqnr_db": None}, {"sqnr_db": 20.0}, {"sqnr_db": 18.5}
    assert decibels(exact) == float("inf")
    assert gap(lossy, worse) == "1.50" and gap(worse, lossy, form="+.1f") == "-1.5"
    assert gap(exact, lossy) == gap(lossy, exact) == gap(exact, exact) == "n/a"


def test_costs_add_up_exactly():
    cost = QuantizationCost()
    other = LinearLayer("v", W[:2] * 2, np.eye(48, dtype=np.float32))
    cost.add(LAYER, W + np.float32(0.25), Fraction(17, 4))
    cost.add(other, other.weights, Fraction(16, 3))
    count = W.size + other.weights.size
    bits = (Fraction(17, 4) * W.size + Fraction(16, 3) * other.weights.size) / count
    assert cost.effective_bits == bits
    assert cost.metrics.count == count
    assert cost.layers_db["v"] == float("inf")
    record = cost.as_dict()
    assert record["effective_bits"] == float(bits)
    assert record["output_sqnr_db"] is None  # the only layer with known inputs lost nothing
    assert record["mse"] == pytest.approx(0.0625 * W.size / count, rel=1e-5)


def test_costs_of_nothing_are_refused():
    with pytest.raises(InputError, match="no weights to measure: the source has no matrix"):
        QuantizationCost().check()
    cost = QuantizationCost()
    cost.add(LinearLayer("zero", W * 0), W * 0, Fraction(4))
    with pytest.raises(InputError, match="every weight is zero: there is no error to measure"):
        cost.check()


def test_importance_is_the_diagonal_of_the_moments():
    moments = np.diag([1.0, 4.0]).astype(np.float32) + 0.5
    layer = LinearLayer("w", np.ones((1, 2), np.float32), moments)
    assert layer.importance.tolist() == [1.5, 4.5] and layer.importance.dtype == np.float32
    assert LAYER.importance is None


@pytest.mark.parametrize("axis", ["input", "output"])
@pytest.mark.parametrize("block", [None, 16])
def test_restored_weights_are_values_times_scales(axis, block):
    """Whatever is shared, each weight is one of the element's values times a scale of its block."""
    options = SharingOptions("ams-e2m1-k3", share_axis=axis, scale_block=block)
    restored = restore(W, options).reshape(6, -1, block or 48)
    largest = np.abs(W).reshape(6, -1, block or 48).max(axis=2, keepdims=True)
    element = options.scheme.minifloat
    ratio = restored / (largest / np.float32(element.max_value))
    distance = np.abs(ratio[..., None] - element.values).min(axis=-1)
    assert distance.max() < 1e-4
