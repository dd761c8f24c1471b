"""The main job, end to end through the command line, at a small size of layer."""

import json

import pytest

from amssim.bench import demo
from amssim.bench.timing import Timer
from amssim.cli import main


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
    (tmp_path / "amssim-demo").mkdir()
    assert main(["demo"]) == 0
    out = capsys.readouterr().out
    assert "SQNR" in out and "effective bits" in out and "speedup" in out
    assert max(map(len, out.splitlines())) <= 80
    assert (tmp_path / "amssim-demo-2" / "fp4.25-e2m2.safetensors").exists()


def test_demo_refuses_to_replace_files(quick, tmp_path, capsys):
    (tmp_path / "fp5.33-e2m3.safetensors").write_text("mine")
    assert main(["demo", "--output", str(tmp_path)]) == 4
    assert "exists" in capsys.readouterr().err
    assert (tmp_path / "fp5.33-e2m3.safetensors").read_text() == "mine"


def test_the_shipped_weights_are_small():
    assert demo.WEIGHTS.stat().st_size <= 2_500_000
