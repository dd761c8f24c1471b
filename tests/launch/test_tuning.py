"""Rules and costs as data: what they look at, which GPU takes which, and a plan by other ones."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amssim.hardware import names, profile
from amssim.launch import (
    MOST,
    TUNINGS,
    Facts,
    Gpu,
    facts_of,
    plan_launch,
    plan_name,
    planner,
    tuning_of,
)
from amssim.launch.geometry import GEMM, GEMV, KERNELS, STREAM, WARPGROUP
from amssim.launch.shapes import GEMV_SHAPES, RING, SINGLE, WIDE
from amssim.launch.tuning import match
from amssim.launch.tuning.h200 import H200, LARGE_LAYER, RULES
from amssim.launch.tuning.rule import ANY, rule, shape_numbers
from amssim.simulator import device_numbers

GPU = Gpu(132, 232_448, 90)
sides = st.integers(1, 130_000)
groups = st.sampled_from([3, 4])
batches = st.integers(1, 16)


def by_hand(group: int, kernel: int, facts: Facts) -> int:
    """Number of the first rule of the H200 that holds, by another program; -1 for none."""
    for number, (candidate, low, high) in enumerate((r, r.low, r.high) for r in RULES):
        box = zip(low, facts, high, strict=True)
        inside = all(least <= fact <= most for least, fact, most in box)
        if (candidate.kernel, candidate.group) == (kernel, group) and inside:
            return number
    return -1


@given(groups, st.sampled_from(sorted(KERNELS)), sides, sides, batches)
def test_the_first_rule_that_holds_is_found(group, kernel, rows, columns, batch):
    facts, tuning = facts_of(GPU, rows, columns, batch), tuning_of(GPU)
    found, offset = match.first_rule(tuning, kernel, group, facts), len(TUNINGS[0].rules)
    assert found - offset * (found >= 0) == by_hand(group, kernel, facts)


@given(groups, sides, sides, batches)
def test_every_product_of_a_gemv_has_shapes(group, rows, columns, batch):
    for gpu in (GPU, Gpu(108, 166_912, 80)):
        facts = facts_of(gpu, rows, columns, batch)
        places = match.preferred_shapes(tuning_of(gpu), group, facts)
        assert len(places) == 4
        assert all(0 <= place < len(GEMV_SHAPES) for place in places)


@pytest.mark.parametrize(
    ("capability", "name"),
    [(0, "older"), (70, "older"), (80, "older"), (89, "older"), (90, "h200"), (100, "h200")],
)
def test_a_gpu_without_data_takes_those_of_the_next_lower_capability(capability, name):
    assert TUNINGS[tuning_of(Gpu(64, 100_000, capability))].name == name


def test_among_equal_capabilities_the_nearest_count_of_multiprocessors_counts(monkeypatch):
    monkeypatch.setattr(match, "CAPABILITIES", (80, 90, 90, 90))
    monkeypatch.setattr(match, "TUNED_SMS", (108, 132, 114, 78))
    assert match.tuning_of(Gpu(132, 0, 90)) == 1
    assert match.tuning_of(Gpu(116, 0, 90)) == 2
    assert match.tuning_of(Gpu(60, 0, 103)) == 3
    assert match.tuning_of(Gpu(78, 0, 89)) == 0


@pytest.mark.parametrize("name", [n for n in names() if profile(n).kind == "gpu"])
def test_every_known_gpu_has_data_that_are_not_above_it(name):
    numbers = device_numbers(profile(name))
    gpu = Gpu(int(numbers.sms), int(numbers.shared_bytes), int(numbers.capability))
    tuning = TUNINGS[tuning_of(gpu)]
    assert tuning.capability <= gpu.capability or tuning is TUNINGS[0]


def test_tunings_say_where_they_are_from_and_are_in_order():
    assert [t.capability for t in TUNINGS] == sorted(t.capability for t in TUNINGS)
    assert len({t.name for t in TUNINGS}) == len(TUNINGS)
    assert all(t.record for t in TUNINGS)


def test_rules_of_older_gpus_ask_for_nothing_that_they_lack():
    older = TUNINGS[0]
    assert {r.kernel for r in older.rules} == {GEMV, GEMM}


def test_the_last_shape_of_a_rule_comes_again():
    three = rule(GEMV, 4, (RING, WIDE, SINGLE))
    assert [GEMV_SHAPES[n] for n in shape_numbers(three)] == [RING, WIDE, SINGLE, SINGLE]
    assert [GEMV_SHAPES[n] for n in shape_numbers(rule(GEMV, 4, (SINGLE,)))] == [SINGLE] * 4


def test_a_rule_bounds_what_it_names_and_nothing_else():
    bounded = rule(STREAM, 3, batch=(5, 8), weights=LARGE_LAYER)
    for name, low, high in zip(Facts._fields, bounded.low, bounded.high, strict=True):
        expected = {"batch": (5, 8), "weights": (2**27, MOST)}.get(name, ANY)
        assert (low, high) == expected


def test_a_rule_about_an_unknown_fact_is_an_error():
    with pytest.raises(KeyError, match="height"):
        rule(GEMM, 4, height=(1, 2))


@given(sides, sides, st.integers(1, 64))
def test_facts(rows, columns, batch):
    facts = facts_of(GPU, rows, columns, batch)
    assert facts.tiles == -(-rows // 16)
    assert (facts.waves - 1) * 132 < facts.tiles <= facts.waves * 132
    assert facts.full_waves * 132 <= facts.tiles < (facts.full_waves + 1) * 132
    assert (facts.cluster_tiles - 1) * 66 < facts.tiles <= facts.cluster_tiles * 66
    assert (facts.excess_rows > 0) == (rows > columns)
    assert facts.weights == rows * columns


@given(groups, sides, sides, st.integers(1, 64))
def test_a_planner_of_the_shipped_data_is_the_plan(group, rows, columns, batch):
    product = (GPU, group, rows, columns, batch)
    assert planner(H200)(*product) == plan_launch(*product)


def test_other_data_make_other_plans_and_leave_the_shipped_ones_alone():
    product = (GPU, 4, 8192, 8192, 8)
    before = plan_launch(*product)
    assert before.kernel == STREAM
    rules = tuple(r for r in RULES if r.kernel != STREAM)
    assert planner(H200._replace(rules=rules))(*product).kernel == GEMV
    always = (rule(WARPGROUP, 4), *RULES)
    without = tuple(r for r in always if r.kernel != STREAM)
    assert planner(H200._replace(rules=without))(*product).kernel == WARPGROUP
    assert plan_launch(*product) == before


def test_costs_decide_between_launches_of_a_kernel():
    product = (GPU, 4, 2048, 8192, 32)
    dear = H200.costs._replace(gemm_sum=100_000, gemm_wide_sum=100_000)
    assert plan_launch(*product).splits > 1
    assert planner(H200._replace(costs=dear))(*product).splits == 1


def test_a_gemv_takes_its_preferred_shape():
    product = (GPU, 4, 4096, 4096, 1)
    assert plan_name(plan_launch(*product)).startswith("gemv 8w")
    wide = tuple(r._replace(shapes=(WIDE,)) if r.kernel == GEMV else r for r in RULES)
    assert planner(H200._replace(rules=wide))(*product).warps == 32
