"""The verbs predict and calibrate: text, JSON, figures, and sentences for bad input."""

import argparse
import json

import pytest

from amssim.cli import calibrate, predict
from amssim.errors import InputError, OutputError
from bench.bench_cases import quick_calibration


@pytest.fixture
def run(capsys):
    def call(*words: str) -> str:
        parser = argparse.ArgumentParser()
        verbs = parser.add_subparsers()
        predict.add_parser(verbs)
        calibrate.add_parser(verbs)
        args = parser.parse_args(words)
        assert args.run(args) == 0
        return capsys.readouterr().out

    return call


def test_text_and_json_agree(run):
    plain = json.loads(run("predict", "--bits", "fp4.25", "--batch", "8", "--json"))
    assert f"{plain['speedup']:.2f}x" in run("predict", "--bits", "4.25", "--batch", "8")
    assert plain["quantized"]["shape"] == [28672, 4096] and plain["baseline"]["bits"] == 16


def test_other_questions(run):
    assert "tokens/s" in run("predict", "--model", "llama-3.1-8b", "--context", "128")
    assert "bits per weight for 2x" in run("predict", "--target", "2")
    assert json.loads(run("predict", "--target", "2", "--json"))["prediction"]["speedup"] >= 2
    assert json.loads(run("predict", "--gpu", "all", "--json"))["rows"][0]["speedup"] > 1
    assert json.loads(run("predict", "--model", "qwen3-8b", "--json"))["tokens_per_s"] > 0
    assert json.loads(run("predict", "--budget", "--json"))["fits"] is True
    assert "memory-bound" in run("predict", "--budget", "--gpu", "l40s")
    assert len(run("predict", "--gpu", "all").splitlines()) >= 15
    listed = json.loads(run("predict", "--list", "--json"))
    assert "h200" in listed["devices"] and "ams" in listed["kernels"]
    assert "stream launches" in run("predict", "--eager", "--l2", "3e8", "--shape", "64,64")


def test_four_figures(run, tmp_path):
    run("predict", "--plot", str(tmp_path / "figures"))
    written = sorted(p.name for p in (tmp_path / "figures").glob("*.png"))
    assert written == ["batch.png", "budget.png", "layer_size.png", "roofline.png"]
    assert all((tmp_path / "figures" / n).stat().st_size > 10_000 for n in written)
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        run("predict", "--plot", str(blocked))


@pytest.mark.parametrize("shape", ["28672", "axb", "1x2x3", "-1x5"])
def test_shapes_that_are_none(run, shape):
    with pytest.raises(InputError, match="expected rows x columns"):
        run("predict", f"--shape={shape}")


@pytest.mark.parametrize("words", [["--budget"], ["--target", "2"], ["--model", "qwen3-8b"]])
def test_questions_of_one_device(run, words):
    with pytest.raises(InputError, match="name one device for --model, --budget"):
        run("predict", "--gpu", "all", *words)


@pytest.mark.parametrize("words", [["--budget", "--target", "2"], ["--model", "x", "--budget"]])
def test_one_question_at_a_time(run, words):
    with pytest.raises(InputError, match="ask different questions: give one of them"):
        run("predict", *words)


def test_text_fits_80_columns(run):
    for words in (
        [],
        ["--list"],
        ["--budget", "--gpu", "b200"],
        ["--gpu", "rtx3090", "--batch", "64"],
        ["--model", "llama-3.1-8b"],
    ):
        assert max(map(len, run("predict", *words).splitlines())) <= 80


def test_calibrate_writes_what_predict_reads(run, tmp_path, monkeypatch):
    quick_calibration(monkeypatch)
    path = tmp_path / "here.json"
    assert str(path) in run("calibrate", "cpu", "--threads", "1", "--output", str(path))
    assert "blas_f32" in run("predict", "--gpu", str(path), "--shape", "512x512")
    with pytest.raises(OutputError, match="exists: give another --output, or --force"):
        run("calibrate", "cpu", "--output", str(path))
    with pytest.raises(OutputError, match="cannot write"):
        run("calibrate", "cpu", "--threads", "1", "--output", str(tmp_path / "no" / "x.json"))
