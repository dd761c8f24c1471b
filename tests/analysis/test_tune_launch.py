"""Regrets and numbers that are derived anew, on times that a formula gives."""

import json
from pathlib import Path

import numpy as np
import pytest

from amssim.launch import TUNINGS, Gpu, plan_launch, plan_name, possible_launches

ROOT = Path(__file__).parents[2]
H200 = Gpu(132, 232_448, 90)
SHIPPED = TUNINGS[-1]
LAYERS = ((4096, 4096), (8192, 8192), (4096, 14336), (14336, 4096))


@pytest.fixture
def tune():
    import tune_launch

    return tune_launch


@pytest.fixture
def tables():
    import launch_tables

    return launch_tables


def measured(tune, time_of, batches=(1, 8)):
    """Products whose launches take what ``time_of`` says."""
    found = []
    for rows, columns in LAYERS:
        for batch in batches:
            plans = possible_launches(H200, 4, rows, columns, batch)
            us = {plan_name(plan): float(time_of(plan)) for plan in plans}
            found.append(tune.Measured(4, rows, columns, batch, us))
    return found


def test_a_choice_that_is_the_best_has_no_regret(tune):
    chosen = {plan_name(plan_launch(H200, 4, *layer, b)) for layer in LAYERS for b in (1, 8)}
    products = measured(tune, lambda plan: 1 if plan_name(plan) in chosen else 2)
    ratios = tune.ratios(SHIPPED, H200, products)
    assert ratios.tolist() == [1.0] * len(products)
    assert tune.regret(ratios)["worst"] == 0


def test_regret_is_time_over_the_best_less_one(tune):
    product = tune.Measured(4, 1, 1, 1, {"a": 10.0, "b": 12.5})
    assert product.ratio("a") == 1.0
    assert product.ratio("b") == 1.25
    assert product.ratio("left out") == tune.LEFT_OUT
    assert tune.regret(np.array([1.0, 1.25, 1.5])) == {
        "products": 3,
        "mean": 0.25,
        "median": 0.25,
        "p90": 0.45,
        "worst": 0.5,
    }


def test_what_would_serve_better_is_found(tune, capsys):
    """Launches of 16 warps are faster, whatever the rules say."""
    products = measured(tune, lambda plan: 1 if plan.warps == 16 else 3)
    before = tune.losses(SHIPPED, H200, products)
    again = tune.derived(SHIPPED, H200, products)
    after = tune.losses(again, H200, products)
    assert after.mean() < before.mean() - 0.05
    assert (after < before).sum() >= tune.LEAST_LAYERS
    assert len(tune.changes(SHIPPED, again)) > 0
    assert "mean logarithm" in capsys.readouterr().out


def test_nothing_changes_where_nothing_is_gained(tune, capsys):
    products = measured(tune, lambda plan: 1, batches=(1,))
    again = tune.derived(SHIPPED, H200, products)
    assert again == SHIPPED
    assert tune.changes(SHIPPED, again) == []


def test_a_change_must_be_of_use_to_several_layers(tune):
    """One layer alone would gain by a launch of 32 warps."""
    product, *others = measured(tune, lambda plan: 2, batches=(1,))
    wide = {name: 1.0 if "32w" in name else 2.0 for name in product.us}
    products = [product._replace(us=wide), *others]
    before = tune.losses(SHIPPED, H200, products)
    number = next(i for i, r in enumerate(SHIPPED.rules) if r.kernel == 1 and r.group == 4)
    values = [[1, 2**25]] * 9
    for i in range(number, len(SHIPPED.rules)):
        tuning, losses = tune.improved(
            SHIPPED, before, H200, products, tune.rules(SHIPPED, i, values)
        )
        assert tuning == SHIPPED and (losses == before).all()


def test_costs_are_tried_with_their_own_types(tune):
    whole = list(tune.costs(SHIPPED, "gemm_sum"))
    assert {type(t.costs.gemm_sum) for t in whole} == {int}
    real = list(tune.costs(SHIPPED, "warpgroup_start"))
    assert {type(t.costs.warpgroup_start) for t in real} == {float}
    assert list(tune.costs(SHIPPED, "stream_uneven")) == []


def test_changes_in_words(tune):
    rules = list(SHIPPED.rules)
    rules[0] = rules[0]._replace(low=tune._put(rules[0].low, 2, 3000))
    costs = SHIPPED.costs._replace(gemm_sum=70)
    lines = tune.changes(SHIPPED, SHIPPED._replace(rules=tuple(rules), costs=costs))
    assert lines == [
        "stream, groups of 4, batch 3 to 16, columns 5120 to any, cluster_tiles 0 to 16: "
        "now batch 3 to 16, columns 3000 to any, cluster_tiles 0 to 16",
        "gemm_sum: 100 -> 70",
    ]


def test_the_recorded_regret_is_that_of_the_shipped_plans(tune):
    """A change of plans shows in docs/KERNELS.md: run analysis/tune_launch.py again."""
    report = json.loads(tune.OUTPUT.read_text())
    record = json.loads((tune.RESULTS / report["record"]).read_text())
    products = tune.products(record)
    ratios = tune.ratios(SHIPPED, Gpu(**record["gpu"]), products)
    assert tune.regret(ratios) == report["shipped"]["all"]
    chosen = [r["us"][r["chosen"]] / min(r["us"].values()) for r in record["results"]]
    assert ratios == pytest.approx(chosen), "the plans are those of the day of the measurement"


def test_the_record_is_complete():
    record = json.loads((ROOT / "analysis/results/launch_shapes_h200.json").read_text())
    assert record["failed"] == {}
    products = [(r["scheme"], *r["shape"], r["batch"]) for r in record["results"]]
    assert len(set(products)) == len(products) == 24 * 2 * 8
    assert all(us > 0 for r in record["results"] for us in r["us"].values())
    assert record["machine"]["gpu"] == "NVIDIA H200" and record["command"]


def test_tables_have_a_line_for_every_class_of_layers(tables):
    lines = tables.regrets().splitlines()
    found = tables.record()
    assert len(lines) == 2 + 1 + len(found["shipped_by_size"]) + 1
    assert lines[2].startswith("| all | 384 |")
    assert lines[-1].startswith("| layers that took no part in deriving | 192 |")
    assert len(tables.worst().splitlines()) == 2 + len(found["shipped_worst"])


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0, 4, "below 4 Mi weights"),
        (8, 32, "8 to 32 Mi weights"),
        (128, 2**20, "from 128 Mi weights"),
    ],
)
def test_sizes_in_words(tables, low, high, words):
    assert tables._size(low, high) == words
