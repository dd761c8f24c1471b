"""Sweeps equal single predictions; the inverse questions undo them; budgets are arithmetic."""

import math

import numpy as np
import pytest

from amssim.errors import InputError
from amssim.hardware import profile
from amssim.simulator import (
    batch_crossover,
    bits_for_speedup,
    instruction_budget,
    predict_speedup,
    sweep,
)


@pytest.mark.parametrize("l2", ["cold", "hot", 2e8])
def test_sweep_equals_single_predictions(l2):
    table = sweep(
        [3, 4.25, 5.33],
        device=["h200", "l40s"],
        shape=[(4096, 4096), (512, 8192)],
        batch=[1, 9, 64],
        l2=l2,
    )
    assert table.speedup.shape == (2, 2, 3, 3)
    for row in table.rows():
        shape = tuple(row["shape"])
        one = predict_speedup(
            row["bits"], device=row["gpu"], shape=shape, batch=row["batch"], l2=l2
        )
        assert row["speedup"] == pytest.approx(float(one), rel=1e-12)
        assert row["seconds"] == pytest.approx(one.quantized.seconds, rel=1e-12)


def test_sweep_takes_single_values_ranges_and_all_gpus():
    table = sweep(5.33, device="all", batch=range(1, 4))
    assert len(table.devices) >= 15 and table.batches == (1, 2, 3)
    assert np.isfinite(table.speedup).all()


def test_sweep_refuses():
    with pytest.raises(InputError, match="device is an empty list"):
        sweep(5.33, device=[])
    with pytest.raises(InputError, match="batch is 0"):
        sweep(5.33, batch=[1, 0])
    with pytest.raises(InputError, match="bits is 99"):
        sweep([4, 99])
    with pytest.raises(InputError, match="too large"):
        sweep(list(np.linspace(1, 16, 10_001)), batch=list(range(1, 10_001)))


@pytest.mark.parametrize("target", [0.9, 1.5, 2.2])
def test_bits_for_speedup_undoes_the_prediction(target):
    answer = bits_for_speedup(target, device="a100-80gb")
    assert float(answer) == 16 or float(answer.speedup) == pytest.approx(target, rel=1e-6)
    assert answer.scheme is None or answer.scheme.bits <= answer.bits
    assert "bits per weight for" in str(answer)


def test_bits_for_speedup_refuses():
    for bad in (0, -1, math.nan, math.inf, "2", None, True):
        with pytest.raises(InputError, match="target is"):
            bits_for_speedup(bad)
    with pytest.raises(InputError, match=r"no bit width reaches 50x: one bit .* gives"):
        bits_for_speedup(50)


def test_budget_is_lanes_times_clock_over_weights_per_second():
    budget = instruction_budget(4.25, device="l40s")
    v = profile("l40s").value
    weights_per_s = v("dram_bytes_per_s") * v("dram_efficiency") * 8 / 4.25
    alu = v("alu_lanes") * v("sms") * v("clock_hz") / weights_per_s
    assert budget.allowed["alu"] == pytest.approx(alu)
    assert budget.fits and "stays memory-bound" in str(budget)
    assert not instruction_budget(6, kernel="fp6_llm", device="h200").fits


def test_budget_counts_idle_columns_of_tensor_cores():
    one, eight = (instruction_budget(5.33, batch=b).spent["mma"] for b in (1, 8))
    assert one == eight > 0


def test_crossover_is_the_first_batch_that_loses():
    where = {"kernel": "trtllm_int4", "shape": (4096, 4096)}
    batch = batch_crossover(4, **where)
    assert float(predict_speedup(4, batch=batch, **where)) <= 1
    assert float(predict_speedup(4, batch=batch - 1, **where)) > 1
    assert batch_crossover(4.25, device="l40s", shape=(28672, 8192), limit=4) is None
