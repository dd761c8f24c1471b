"""The main job, end to end through the command line, at a small size of layer."""

import json

import numpy as np
import pytest

from amssim.bench import demo
from amssim.bench.timing import Timer
from amssim.cli import main
from amssim.errors import MismatchError


@pytest.fixture
def quick(monkeypatch):
    """Measure little: the job itself is what is tested."""
    monkeypatch.setattr(demo, "_LAYER", 64)
    monkeypatch.setattr(demo, "_TIMER", Timer(repeats=1, budget_s=0))


def test_demo_leaves_verified_files_and_a_figure(quick, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["demo", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    figures = record["schemes"]
    assert list(figures) == ["fp5.33-e2m3", "fp4.25-e2m2"]
    assert 5.33 < figures["fp5.33-e2m3"]["effective_bits"] < 5.4
    assert 4.25 < figures["fp4.25-e2m2"]["effective_bits"] < 4.3
    assert 28 < figures["fp5.33-e2m3"]["total"]["sqnr_db"] < 29
    assert 21 < figures["fp4.25-e2m2"]["total"]["sqnr_db"] < 22
    for name in figures:
        assert main(["verify", figures[name]["path"], "--source", str(demo.WEIGHTS)]) == 0
    assert (tmp_path / "amssim-demo" / "error.png").stat().st_size > 10_000


def test_a_second_demo_takes_a_new_folder_and_prints_a_table(quick, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    (tmp_path / "amssim-demo").mkdir()
    assert main(["demo"]) == 0
    out = capsys.readouterr().out
    assert "SQNR" in out and "effective bits" in out and "speedup" in out
    assert max(map(len, out.splitlines())) <= 80
    assert (tmp_path / "amssim-demo-2" / "fp4.25-e2m2.safetensors").exists()


def test_figures_follow_from_the_times_and_the_files(quick, tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "blas_s", lambda layer, x, timer: 6.0)
    monkeypatch.setattr(demo, "packed_s", lambda packed, x, timer: 2.0)
    record = demo.run_demo(tmp_path)
    rows, columns = record["layer"]
    assert rows % 64 == 0 or columns % 64 == 0
    for name, figures in record["schemes"].items():
        assert (figures["blas_s"], figures["gemv_s"], figures["gemv_speedup"]) == (6.0, 2.0, 3.0)
        stored = demo.packed_of(tmp_path / f"{name}.safetensors")
        assert figures["nbytes"] == sum(packed.nbytes for packed in stored.values())
        assert set(figures["tensors"]) == set(stored) and len(stored) == 3
        weights = sum(packed.shape[0] * packed.shape[1] for packed in stored.values())
        assert figures["effective_bits"] == 8 * figures["nbytes"] / weights
        assert figures["total"]["count"] == weights == record["source"]["nbytes"] / 2  # BF16


def test_what_is_read_back_must_be_what_was_written(quick, tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "quantize", lambda weights, name: None)
    with pytest.raises(MismatchError, match="read back differs from what was quantised"):
        demo._files_and_errors("fp4.25-e2m2", demo.arrays_of(demo.WEIGHTS), tmp_path)


def test_a_layer_is_repeated_until_it_is_large():
    layer = demo._layer_sized(np.arange(6, dtype=np.float16).reshape(2, 3))
    assert layer.dtype == np.float32 and min(layer.shape) >= 4096
    assert max(layer.shape) < 4096 + 3
    assert (layer[:2, :3] == layer[-2:, -3:]).all()


def test_demo_refuses_to_replace_files(quick, tmp_path, capsys):
    (tmp_path / "fp5.33-e2m3.safetensors").write_text("mine")
    assert main(["demo", "--output", str(tmp_path)]) == 4
    assert "exists" in capsys.readouterr().err
    assert (tmp_path / "fp5.33-e2m3.safetensors").read_text() == "mine"


def test_the_shipped_weights_are_small():
    assert demo.WEIGHTS.stat().st_size <= 2_500_000
