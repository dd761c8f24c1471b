import json

import pytest

from amssim.bench import cpu, timing
from amssim.cli import main


def test_a_small_run_has_every_item_with_its_baseline(capsys):
    assert main(["bench", "cpu", "--threads", "1", "--shapes", "64x96", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    items = {(r["item"], r["scheme"]) for r in record["results"]}
    for scheme in cpu.SCHEMES:
        for item in ("quantize", "pack", "unpack", "dequantize"):
            assert (item, scheme) in items
        for kind in cpu.ACTIVATIONS:
            assert {(f"gemv {kind}", scheme), (f"gemm {kind} batch 8", scheme)} <= items
    assert all(r["gweights_per_s"] > 0 for r in record["results"])
    assert all(r["ratio"] > 0 for r in record["results"] if "baseline" in r)
    assert record["import_s"] < 5 and record["machine"]["cpus"] >= 1


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--threads", "two"], "--threads is 'two', expected positive numbers such as 1,2"),
        (["--threads", "0"], "--threads is '0'"),
        (["--shapes", "64"], "--shapes is '64', expected positive numbers such as 4096x4096"),
    ],
)
def test_options_that_make_no_sense(options, sentence, capsys):
    assert main(["bench", "cpu", *options]) == 3
    assert sentence in capsys.readouterr().err


def test_copies_and_minimum():
    assert timing.copies_for_cold(timing.COLD_BYTES * 2) == 2
    assert timing.copies_for_cold(timing.COLD_BYTES // 10) == 10
    assert timing.copies_for_cold(1) == 64
    calls = []
    timing.best_s(timing.over_each(calls.append, "abc"), repeats=5)
    assert calls[:7] == list("abcabca")
