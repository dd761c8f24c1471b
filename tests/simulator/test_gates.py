"""What the validation table claims: gates pinned, nothing drifted since it was recorded."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from amssim.hardware import profile
from amssim.launch.geometry import GEMM, GEMV, STREAM, WARPGROUP
from amssim.simulator.descriptors import _FITS, descriptor, kernels

ROOT = Path(__file__).parents[2]
RECORD = json.loads((ROOT / "analysis" / "results" / "simulator_validation.json").read_text())
ROWS = RECORD["rows"]
#: Our own measurements whose gates are met: (device, kernel, range of batch, quantity).
OWN = [
    ("h200", "ams", [1, 8], "latency"),
    ("h200", "ams", [1, 64], "latency"),
    ("h200", "cublas_fp16", [1, 64], "latency"),
    ("h200", "ams", [1, 64], "speedup"),
    ("h100-sxm", "ams", [1, 8], "latency"),
    ("h100-sxm", "ams", [1, 64], "latency"),
    ("h100-sxm", "ams", [1, 64], "speedup"),
    ("h100-sxm", "cublas_fp16", [1, 64], "latency"),
]
#: (device, kernel, bits) that must stay within their gates on held-out shapes.
PINNED = [
    ("h200", "cublas_bf16", [16.0]),
    ("a100-80gb", "cublas_bf16", [16.0]),
    ("h200", "trtllm_int8", [8.0]),
    ("h200", "trtllm_int4", [4.0]),
    ("a100-80gb", "fp6_llm", [6.0]),
    ("a100-80gb", "fp6_llm", [5.0]),
]
#: Sets on which a simple model is closer; docs/SIMULATOR.md says why.
NOT_BEST = {("rtx4090", "marlin"), ("rtx4090", "gemlite")}


def test_the_table_is_of_the_shipped_parameters():
    files = sorted(_FITS.glob("*.json"))
    digest = hashlib.sha256(b"".join(f.read_bytes() for f in files)).hexdigest()
    assert digest == RECORD["fits_sha256"], "run analysis/validate_simulator.py again"


@pytest.mark.parametrize("pinned", PINNED, ids=str)
def test_public_gates_are_met(pinned):
    found = [r for r in ROWS if r["judged"] == "held-out shapes" and r["source"] != "amssim"]
    (row,) = [r for r in found if (r["device"], r["kernel"], r["bits"]) == pinned]
    assert row["met"] is True and row["mean"] <= row["gate"]["mean"] and row["points"] > 30


def own(device: str, kernel: str, batch: list[int], quantity: str, judged="held-out") -> dict:
    """The one row of our measurements that is asked for."""
    found = [r for r in ROWS if r["source"] == "amssim" and r["judged"].startswith(judged)]
    wanted = (device, kernel, batch, quantity)
    (row,) = [r for r in found if (r["device"], r["kernel"], r["batch"], r["quantity"]) == wanted]
    return row


@pytest.mark.parametrize("wanted", OWN, ids=str)
def test_own_gates_are_met(wanted):
    row = own(*wanted)
    assert row["met"] is True and row["mean"] <= 0.05 and row["p90"] <= 0.10
    assert row["quantity"] == "latency" or row["winner"] > 0.99


@pytest.mark.parametrize("device", ["h200", "h100-sxm"])
def test_our_kernels_on_a_gpu_without_measurements(device):
    row = own(device, "ams", [1, 64], "speedup", "device never calibrated")
    assert row["met"] is True and row["mean"] < 0.09 and row["winner"] > 0.99


def test_verdicts_follow_from_the_numbers():
    for row in ROWS:
        limits = row["gate"].items()
        met = all(row[k] >= v if k == "winner" else row[k] <= v for k, v in limits)
        assert row["met"] == (met if row["gate"] else None)
        assert row["best"] == all(row["mean"] < e for e in row["baselines"].values())


def test_better_than_the_simple_models():
    beaten = {(r["device"], r["kernel"]) for r in ROWS if not r["best"]}
    assert beaten <= NOT_BEST
    strangers = [r for r in ROWS if r["judged"] == "device never calibrated"]
    assert len(strangers) >= 10 and all(r["best"] for r in strangers)


def test_counted_instructions_are_those_of_the_disassembly():
    recorded = json.loads((ROOT / "analysis" / "results" / "instructions.json").read_text())
    widths = {"fp5.33": 16 / 3, "fp4.25": 17 / 4}
    for variant in descriptor("ams").variants:
        kernel, form = variant.name.split("-")
        found, (counts, counted) = recorded["counts"][form], variant.counts(widths[form])
        assert counted
        of_kernel = {name: c for name, c in found.items() if name.startswith(kernel)}
        assert of_kernel
        for name, count in of_kernel.items():  # on a line over the columns of x
            columns = int(name.removeprefix(kernel))
            line = counts["issue"] + columns * counts.get("issue_per_batch", 0)
            assert line == pytest.approx(count["issue"], abs=0.003)
        for pipe in ("alu", "imad", "half"):
            assert counts[pipe] == found[f"{kernel}8"][pipe]


def test_every_descriptor_holds_together():
    for name in kernels():
        family = descriptor(name)
        assert family.kind in ("gpu", "cpu") and family.source
        for batch in (1, 8, 64):
            variant = family.variant(np.mean(family.bits), batch)
            assert variant.planned or variant.min_batch <= batch <= variant.max_batch
        device = profile("h200" if family.kind == "gpu" else "ryzen-7950x")
        for variant in family.variants:
            numbers = variant.kernel(device, np.mean(family.bits))
            assert all(np.isfinite(numbers)) and numbers.ctas_per_sm >= 1


def test_occupancy_is_the_least_of_the_limits():
    (variant,) = descriptor("fp6_llm").variants
    assert variant.occupancy(profile("h200")) <= 64 // variant.warps
    assert variant.occupancy(profile("t4")) <= 32 // variant.warps
    crowded = replace(variant, warps=4, registers=200, structure={"ctas_per_sm": 99.0})
    assert crowded.occupancy(profile("h200")) == 65536 // (200 * 32 * 4)
    assert replace(crowded, shared_bytes=100_000).occupancy(profile("h200")) == 2


def test_each_format_has_every_kernel_that_a_plan_may_name():
    for bits in (17 / 4, 16 / 3):
        every = [GEMV, GEMM, WARPGROUP, STREAM]
        found = [descriptor("ams").variant(bits, 1, planned=n) for n in every]
        assert [v.planned for v in found] == every
