"""``amssim bench checkpoint``: what it asks of the benchmark, and how it shows a record."""

import json
import re
from pathlib import Path

import pytest

from amssim.cli import main

COPY = {"item": "cp", "checkpoint": "model", "tree": "", "cache": "warm", "runs": 5}
COPY |= {"least_s": 0.25, "median_s": 0.375, "cpu_s": 0.2, "peak_bytes": 1, "of_copy": 1.0}
VERB = {"item": "verify --source", "tree": "this", "least_s": 0.5, "of_copy": 2.0}
VERB |= {"gbytes_per_s": 3.2, "memory_bytes": 81_000_000, "stated_memory_bytes": 90_000_000}
START = {"item": "--help", "checkpoint": "tiny", "tree": "this"}
RECORD = {
    "machine": {"processor": "A fast one", "cpus": 3},
    "checkpoint": {"bytes": 805_400_000, "weights": 1, "shards": 4},
    "options": [],
    "results": [COPY, COPY | VERB, COPY | VERB | {"tree": "other", "item": "x"}, COPY | START],
}


@pytest.fixture
def asked(monkeypatch):
    """What the benchmark was asked for."""
    calls = []

    def benchmark(*places, **options):
        calls.append((places, options))
        return RECORD

    monkeypatch.setattr("amssim.bench.benchmark_checkpoint", benchmark, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    return calls


def test_options_reach_the_benchmark(asked, capsys):
    words = "--directory /a/disk --size 3 --shards 2 --runs 7 --warm --threads 2 --workers 3"
    words += " --continued --against /b"
    assert main(["bench", "checkpoint", *words.split(), "--json"]) == 0
    (((directory, model), options),) = asked
    assert directory == Path("/a/disk") and model.nbytes == pytest.approx(3e9, rel=0.02)
    assert options.pop("progress")
    assert options == {"shards": 2, "runs": 7, "cold": False, "against": Path("/b"),
                       "options": ["--threads", "2"], "workers": 3, "continued": True}  # fmt: skip
    command = "amssim bench checkpoint --size 3.0 --shards 2 --runs 7 --threads 2 --workers 3"
    command += " --warm --continued --against DIR"
    expected = {"schema": "amssim.bench.checkpoint/1", "command": command} | RECORD
    assert json.loads(capsys.readouterr().out) == expected


def test_tables_fit_the_terminal(asked, capsys):
    assert main(["bench", "checkpoint"]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert re.search(r"cp +warm +0.250 +0.375 +1.0 *\n", out)
    assert re.search(r"verify --source +warm +0.500 +0.375 +3.20 +2.0 +81 +90 *\n", out)
    assert re.search(r"--help +0.250 +0.375 +0.20 *\n", out)
    assert "other" not in out and out.endswith("805 MB in 4 files; A fast one, 3 CPUs\n")


def test_tables_with_another_tree_fit_too(asked, capsys, monkeypatch):
    monkeypatch.setitem(RECORD, "results", [COPY, COPY | VERB | {"of_other": 0.375}])
    assert main(["bench", "checkpoint", "--against", "b"]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80 and "x other" in out
    assert re.search(r"verify --source +warm +0.500 .* 90 +0.38 *\n", out)


def test_the_record_is_written_once_and_names_no_folder(asked, tmp_path, capsys):
    path = tmp_path / "record.json"
    words = ["bench", "checkpoint", "--output", str(path), "--directory", str(tmp_path)]
    assert main(words) == 0
    assert json.loads(path.read_text())["results"] == RECORD["results"]
    assert str(tmp_path) not in path.read_text()
    assert main(words) == 4 and len(asked) == 1
    assert "record.json exists already: name a new file" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--size", "--shards", "--runs"])
@pytest.mark.parametrize("value", ["0", "-1"])
def test_options_that_make_no_sense(option, value, asked, capsys):
    assert main(["bench", "checkpoint", f"{option}={value}"]) == 3 and not asked
    assert f"{option} is {value}" in capsys.readouterr().err.replace(".0,", ",")
