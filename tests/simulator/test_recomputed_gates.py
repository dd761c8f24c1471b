"""The errors of the validation, computed anew from what was measured: drift shows.

The table in docs/SIMULATOR.md is a record. Here its errors are computed again with the equations,
profiles, fits and launch plans of today. Each must be what the record says; a test below shows that
a small change of any of them is enough to be noticed.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from amssim.hardware import profile
from amssim.launch import GEMM
from amssim.simulator import equations, predict_latency

ROOT = Path(__file__).parents[2]
RECORD = json.loads((ROOT / "analysis" / "results" / "simulator_validation.json").read_text())
#: Errors are recorded in full; sums in another order differ less than this.
CLOSE = 1e-9
WHAT = ("device", "kernel", "judged", "quantity", "bits", "batch")


def key(row: dict) -> str:
    """What a row of the validation judges."""
    return json.dumps([row["source"], *(row[name] for name in WHAT)])


RECORDED = {key(row): row for row in RECORD["rows"]}


def differences(rows: list[dict]) -> list[str]:
    """Of rows that were computed anew, those that are not as recorded."""
    different = []
    for row in rows:
        recorded = RECORDED[key(row)]
        for name in ("mean", "p90", "winner"):
            if name in recorded and abs(row[name] - recorded[name]) > CLOSE:
                different.append(f"{key(row)}: {name} {recorded[name]:.4f} is {row[name]:.4f} now")
        if row["points"] != recorded["points"] or row["met"] != recorded["met"]:
            different.append(f"{key(row)}: points or verdict")
    return different


def with_figure(device, name: str, factor: float):
    """A profile with one figure larger."""
    figure = device.figures[name]
    changed = figure._replace(value=figure.value * factor)
    return replace(device, figures={**device.figures, name: changed})


@pytest.fixture(scope="module")
def validation(script):
    return script("validate_simulator")


def test_errors_on_our_measurements_are_as_recorded(validation):
    rows = list(validation.own_rows())
    assert len(rows) == sum(row["source"] == "amssim" for row in RECORD["rows"]) - len(
        [r for r in RECORD["rows"] if r["source"] == "amssim" and r["judged"] == validation.UNSEEN]
    )
    assert differences(rows) == []


def test_errors_on_figures_that_nothing_is_fitted_to_are_as_recorded(validation):
    rows = [row for row in validation.peer_rows() if row["judged"] != validation.UNSEEN]
    assert rows and differences(rows) == []


def test_errors_on_public_tables_are_as_recorded(validation, tables):
    rows = list(validation.held_out_rows(tables))
    assert len(rows) > 20
    assert differences(rows) == []


@pytest.mark.parametrize("figure", ["dram_bytes_per_s", "clock_hz", "tensor_flops"])
def test_a_changed_profile_is_noticed(validation, monkeypatch, figure):
    """5 % of bandwidth is enough; so it is of a clock, and of tensor cores."""
    monkeypatch.setattr(
        validation, "profile", lambda name: with_figure(profile(name), figure, 1.05)
    )
    changed = differences(list(validation.own_rows()))
    assert any('"h200", "ams"' in line and "mean" in line for line in changed)


def test_five_percent_of_bandwidth_miss_a_gate(validation, monkeypatch):
    def slower(name):
        return with_figure(profile(name), "dram_bytes_per_s", 0.95)

    monkeypatch.setattr(validation, "profile", slower)
    missed = [row for row in validation.own_rows() if row["met"] is False]
    recorded = [row for row in RECORD["rows"] if row["source"] == "amssim" and row["met"] is False]
    assert len(missed) > len(recorded)


def test_a_changed_fit_is_noticed(validation, monkeypatch):
    """A microsecond more of fixed costs."""

    def slower(device, kernel, m):
        family = validation.descriptor(kernel)

        def numbers(variant, bits):
            kernel_numbers = variant.kernel(profile(device), bits)
            return kernel_numbers._replace(fixed_s=kernel_numbers.fixed_s + 1e-6)

        return validation.seconds(profile(device), family, *m[:5], kernel_of=numbers)

    monkeypatch.setattr(validation, "shipped", slower)
    assert len(differences(list(validation.own_rows()))) > 4


def held_out_errors(data, fitting, device: str) -> np.ndarray:
    """|predicted / measured - 1| of our kernels on held-out shapes, asked for one by one."""
    measured = data.own()[device, "ams"]
    m = measured.where(fitting.held_out(measured.rows, measured.columns))
    errors = []
    for rows, columns, batch, bits, _, seconds in zip(*m, strict=True):
        shape = (int(rows), int(columns))
        answer = predict_latency(bits, device=device, shape=shape, batch=int(batch))
        errors.append(abs(answer.seconds / seconds - 1))
    return np.array(errors)


@pytest.fixture(scope="module")
def errors_of(script):
    """Errors on a device as single predictions make them, in Python."""
    data, fitting = script("simulator_data"), script("fit_simulator")
    return lambda device: held_out_errors(data, fitting, device)


def recorded_error(device: str) -> float:
    rows = [row for row in RECORD["rows"] if row["judged"] == "held-out shapes"]
    wanted = (device, "ams", "latency", [1, 64])
    (row,) = [r for r in rows if (r["device"], r["kernel"], r["quantity"], r["batch"]) == wanted]
    return row["mean"]


@pytest.mark.parametrize("device", ["h200", "h100-sxm"])
def test_single_predictions_have_the_recorded_error(errors_of, device):
    assert errors_of(device).mean() == pytest.approx(recorded_error(device), rel=1e-9)


def test_a_changed_equation_is_noticed(errors_of, monkeypatch):
    rate = equations.dram_rate
    monkeypatch.setattr(equations, "dram_rate", lambda *a: 1.02 * rate(*a))
    assert abs(errors_of("h200").mean() - recorded_error("h200")) > 1e-4


def test_a_changed_launch_plan_is_noticed(errors_of, monkeypatch):
    """GEMMs in one block each in place of clusters."""
    plan_launch = equations.plan_launch

    def alone(*product):
        plan = plan_launch(*product)
        if plan.kernel != GEMM or plan.splits == 1:
            return plan
        return plan._replace(splits=1, slice_units=plan.slice_units * plan.splits)

    monkeypatch.setattr(equations, "plan_launch", alone)
    assert abs(errors_of("h200").mean() - recorded_error("h200")) > 1e-4
