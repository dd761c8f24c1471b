import json

import pytest

from amssim.bench.cpu.items import ACTIVATIONS, SCHEMES
from amssim.cli import main


def test_a_small_run_has_every_item_with_its_baseline(capsys):
    assert main(["bench", "cpu", "--threads", "1", "--shapes", "64x96", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    items = {(r["item"], r["scheme"]) for r in record["results"]}
    for scheme in SCHEMES:
        for item in ("quantize", "pack", "unpack", "dequantize"):
            assert (item, scheme) in items
        for kind in ACTIVATIONS:
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
