"""``amssim bench gpu``: what it asks of the benchmark, and how it shows a record."""

import json
import re

import pytest

from amssim.cli import main
from amssim.errors import ResourceError

PRODUCT = {"layer": "Llama-3 8B o", "shape": [4096, 4096], "scheme": "fp5.33-e2m3", "batch": 8}
PRODUCT |= {"bytes": 12_000_000, "us": 4.0, "cublas_us": 10.0, "dequantize_us": 9.0, "error": 1e-4}
PEER = {"layer": "Llama-3 8B o", "shape": [4096, 4096], "batch": 8, "us": 6.5, "error": 0.1}
RECORD = {
    "command": "amssim bench gpu",
    "machine": {"gpu": "A GPU"},
    "copy_tbps": 4.0,
    "host_us": 5.5,
    "driver_us": 3.25,
    "results": [PRODUCT],
    "peers": [{"peer": "theirs", "version": "1", "results": [PEER], "failed": []}],
}


@pytest.fixture
def asked(monkeypatch):
    """What the benchmark was asked for, where a GPU seems to be here."""
    calls = []

    def benchmark(shapes, batches, **options):
        calls.append((dict(shapes), batches, options))
        options["say"]("a line")
        return RECORD

    monkeypatch.setattr("amssim.gpu.check_available", lambda: None)
    monkeypatch.setattr("amssim.bench.gpu.benchmark.benchmark_gpu", benchmark)
    monkeypatch.setattr("sys.argv", ["/somewhere/amssim", "bench", "gpu", "--runs", "2"])
    monkeypatch.setenv("COLUMNS", "100")
    return calls


def test_options_reach_the_benchmark(asked, capsys):
    words = ["--shapes", "16x64, 32x128", "--batches", "1,8", "--runs", "2", "--peers", "--json"]
    assert main(["bench", "gpu", *words]) == 0
    ((shapes, batches, options),) = asked
    assert shapes == {"16x64": (16, 64), "32x128": (32, 128)} and batches == (1, 8)
    assert options["runs"] == 2 and options["peers"] is True
    assert options["command"] == "amssim bench gpu --runs 2"
    out, err = capsys.readouterr()
    assert json.loads(out) == {"schema": "amssim.bench.gpu/1"} | RECORD and err == "a line\n"


def test_layers_of_models_and_all_batches_are_the_default(asked, capsys):
    assert main(["bench", "gpu"]) == 0
    ((shapes, batches, options),) = asked
    assert shapes["Llama-3 8B o"] == (4096, 4096) and len(shapes) == 15
    assert batches == (1, 2, 4, 8, 16, 32, 64)
    assert options["runs"] == 1 and options["peers"] is False


def test_the_table_shows_bandwidth_and_speedup(asked, capsys):
    assert main(["bench", "gpu"]) == 0
    out = capsys.readouterr().out
    numbers = r"8 +4\.0 +3\.00 +75% +2\.50"  # 12 MB in 4 us, of 4 TB/s; 10 us against 4
    assert re.search(rf"Llama-3 8B o 4096x4096 +fp5\.33-e2m3 +{numbers}", out)
    assert re.search(r"Llama-3 8B o 4096x4096 +theirs +8 +6\.5 *\n", out)
    last = out.splitlines()[-1]
    assert last == "A GPU, copy 4.00 TB/s, host 5.5 us per launch, 3.2 of them in the driver"


def test_the_record_is_written_once(asked, tmp_path, capsys):
    path = tmp_path / "gpu.json"
    assert main(["bench", "gpu", "--output", str(path)]) == 0
    assert json.loads(path.read_text()) == RECORD
    assert [p.name for p in tmp_path.iterdir()] == ["gpu.json"]
    assert main(["bench", "gpu", "--output", str(path)]) == 4 and len(asked) == 1
    assert "gpu.json exists already: name a new file" in capsys.readouterr().err


def test_options_are_looked_at_before_the_machine(monkeypatch, capsys):
    def no_gpu():
        raise ResourceError("no GPU")

    monkeypatch.setattr("amssim.gpu.check_available", no_gpu)
    assert main(["bench", "gpu", "--runs", "0"]) == 3
    assert "--runs is 0, expected 1 or more" in capsys.readouterr().err
    assert main(["bench", "gpu"]) == 4
    assert capsys.readouterr().err == "amssim: error: no GPU\n"
