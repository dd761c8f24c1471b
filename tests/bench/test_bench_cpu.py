"""The CPU benchmark: every documented row is measured, each beside a baseline of its process."""

import json
import os
import re
import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from amssim.bench import benchmark_cpu, blas_s, packed_s
from amssim.bench.cpu import benchmark, items, products
from amssim.bench.operands import random_packed
from amssim.bench.timing import Timer
from amssim.cli import main
from amssim.errors import ResourceError
from amssim.scheme import scheme

README = Path(__file__).parents[2] / "README.md"
ONCE = Timer(repeats=1, budget_s=0)


def documented() -> set[tuple[str, str, str]]:
    """(item, scheme, baseline) of the rows of README.md."""
    table = re.search(r"<!-- cpu -->\n(.*?)\n\n", README.read_text(), re.S)[1]
    rows = [line.strip("| ").split("|") for line in table.splitlines()[2:]]
    return {tuple(cell.strip() for cell in row[:3]) for row in rows}


@pytest.fixture(scope="module")
def results():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(items, "_TIMER", ONCE)
        patch.setattr(items, "_CAST_TIMER", ONCE)
        patch.setattr(products, "Timer", lambda: ONCE)
        return {threads: items.measure_items(threads, 64, 96) for threads in (1, 2)}


def test_every_documented_row_is_measured(results):
    measured = {(r["item"], r["scheme"] or "", r.get("baseline", "")) for r in results[1]}
    assert measured == documented()


def test_codecs_are_measured_on_one_thread_alone(results):
    one, two = ({r["item"] for r in results[threads]} for threads in (1, 2))
    assert one - two == {"quantize", "pack", "unpack", "dequantize"} and two < one


def test_rates_and_ratios_follow_from_the_times(results):
    by_item = {(r["item"], r["scheme"]): r for r in results[1]}
    dense_s = by_item["blas sgemv", None]["time_s"]
    for (item, form), r in by_item.items():
        assert r["shape"] == [64, 96] and r["threads"] == 1
        assert r["gweights_per_s"] == pytest.approx(64 * 96 / r["time_s"] / 1e9)
        if item.startswith("gemv"):
            assert r["ratio"] == pytest.approx(dense_s / r["time_s"])
        if item.startswith("gemm"):
            one = by_item[item.replace("gemm", "gemv").removesuffix(" batch 8"), form]
            assert r["ratio"] == pytest.approx(one["time_s"] / r["time_s"])
        assert ("ratio" in r) == ("baseline" in r)


def test_each_number_of_threads_has_a_process_whose_blas_knows_it(monkeypatch):
    started = []

    def start(command, env=None, **options):
        started.append((command, env))
        if "-c" in command:
            return SimpleNamespace(returncode=0, stdout=f"0.0{len(started)}\n")
        return SimpleNamespace(returncode=0, stdout='[{"item": "x"}]')

    monkeypatch.setattr(subprocess, "run", start)
    lines = []
    record = benchmark_cpu([1, 4], [(8, 16), (32, 64)], progress=lines.append)
    assert record["results"] == [{"item": "x"}] * 4
    assert lines == ["8x16, 1 thread", "32x64, 1 thread", "8x16, 4 threads", "32x64, 4 threads"]
    measuring = [(c[-3:], e) for c, e in started if "-m" in c]
    assert [c for c, _ in measuring] == [
        ["1", "8", "16"], ["1", "32", "64"], ["4", "8", "16"], ["4", "32", "64"]
    ]  # fmt: skip
    for (threads, *_), environment in measuring:
        assert environment["OMP_NUM_THREADS"] == environment["OPENBLAS_NUM_THREADS"] == threads
        assert environment["PATH"] == os.environ["PATH"]
    assert record["import_s"] == 0.05  # the least of the interpreters after those


def test_a_process_that_fails_says_why(monkeypatch):
    failed = SimpleNamespace(
        returncode=1, stdout="", stderr="Traceback ...\nMemoryError: no room\n"
    )
    monkeypatch.setattr(benchmark.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(ResourceError, match="8x16 failed: MemoryError: no room"):
        benchmark_cpu([1], [(8, 16)])
    failed.stderr = ""
    with pytest.raises(ResourceError, match="8x16 failed: nothing"):
        benchmark_cpu([1], [(8, 16)])


def test_products_are_timed_on_operands_that_do_not_share_memory(monkeypatch):
    seen = []

    class Watching:
        def least_s(self, call):
            for _ in range(66):
                call()
            return 2.0

    def product(packed, x, activations, threads):
        seen.append(packed)

    monkeypatch.setattr(products, "gemv", product)
    packed = random_packed(scheme("fp5.33"), 4, 96)
    assert packed_s(packed, np.ones(96), activations="int8", threads=2, timer=Watching()) == 2.0
    assert len({id(p) for p in seen}) == len({p.words.ctypes.data for p in seen}) == 64
    assert all(p == packed for p in seen)
    assert seen[:2] == seen[64:]  # round and round


def test_dense_products_are_timed_on_copies(monkeypatch):
    class Watched(np.ndarray):
        def __matmul__(self, x):
            seen.append(self.ctypes.data)
            return np.ndarray.__matmul__(self, x)

    class Watching:
        def least_s(self, call):
            for _ in range(64):
                call()
            return 3.0

    seen = []
    weights = np.ones((8, 16), np.float32).view(Watched)
    assert blas_s(weights, np.ones(16, np.float32), timer=Watching()) == 3.0
    assert len(set(seen)) == 64


def test_the_verb_measures_in_new_processes(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    words = ["bench", "cpu", "--threads", "1", "--shapes", "64x96"]
    assert main([*words, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert list(record) == ["schema", "machine", "import_s", "results"]
    assert record["schema"] == "amssim.bench.cpu/1" and 0 < record["import_s"] < 10
    measured = {(r["item"], r["scheme"] or "", r.get("baseline", "")) for r in record["results"]}
    assert measured == documented()


def test_the_verbs_table_shows_rates_ratios_and_the_machine(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    item = {"item": "gemv", "scheme": "fp5.33", "shape": [8, 16], "threads": 2}
    result = item | {"gweights_per_s": 1.234, "ratio": 2.5, "baseline": "blas"}
    other = {"item": "blas", "scheme": None, "shape": [8, 16], "threads": 2, "gweights_per_s": 9.0}
    about = {"processor": "A fast one", "cpus": 3}
    record = {"machine": about, "import_s": 0.0123, "results": [other, result]}
    monkeypatch.setattr("amssim.bench.benchmark_cpu", lambda *_, **__: record, raising=False)
    assert main(["bench", "cpu", "--threads", "2", "--shapes", "8x16"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"gemv +fp5.33 +1.23 +2.50x +blas", out) and re.search(
        r"blas +9.00\s*$", out, re.M
    )
    assert "8x16, 2 threads" in out and "A fast one, 3 CPUs\nimport amssim: 0.012 s" in out


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--threads", "two"], "--threads is 'two', expected positive numbers such as 1,2"),
        (["--threads", "0"], "--threads is '0'"),
        (["--threads", "1,"], "--threads is '1,'"),
        (["--shapes", "64"], "--shapes is '64', expected positive numbers such as 4096x4096"),
        (["--shapes", "64x0"], "--shapes is '64x0'"),
        (["--shapes", "1x2x3"], "--shapes is '1x2x3'"),
    ],
)
def test_options_that_make_no_sense(options, sentence, capsys):
    assert main(["bench", "cpu", *options]) == 3
    assert sentence in capsys.readouterr().err
