"""The verb predict: text, JSON, figures, and sentences for bad input."""

import argparse
import json

import pytest

from amssim.cli import predict
from amssim.errors import InputError, OutputError


@pytest.fixture
def run(capsys):
    def call(*words: str) -> str:
        parser = argparse.ArgumentParser()
        verbs = parser.add_subparsers()
        predict.add_parser(verbs)
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


def test_the_text_says_what_follows_from_the_record(run):
    words = ["predict", "--bits", "4.25", "--shape", "8192x4096", "--batch", "4"]
    record, text = json.loads(run(*words, "--json")), run(*words)
    ours, dense = record["quantized"], record["baseline"]
    low, high = record["interval"]
    first, about, *sides = text.splitlines()
    speedup = dense["seconds"] / ours["seconds"]
    assert first.startswith(f"{speedup:.2f}x ({low:.2f} to {high:.2f})")
    assert f"the bits alone would give {16 / 4.25:.2f}x" in first
    assert low < speedup < high
    assert "4.25 bits, 8192 x 4096, batch 4" in about
    for side, line in zip((ours, dense), sides, strict=False):
        assert f"{side['seconds'] * 1e6:.2f} us, bound by {side['binding']}" in line
        assert sum(side["breakdown"].values()) == pytest.approx(side["seconds"])
        # no product is faster than its weights pass through the memory
        bandwidth = 8192 * 4096 * side["bits"] / 8 / side["seconds"]
        assert bandwidth < 4.8e12


def test_a_decode_step_is_the_sum_of_its_parts(run):
    words = ["predict", "--model", "llama-3.1-8b", "--bits", "5.33", "--batch", "2"]
    record, text = json.loads(run(*words, "--json")), run(*words)
    total = sum(part["seconds"] for part in record["parts"])
    assert record["seconds"] == pytest.approx(total)
    assert f"{2 / total:.0f} tokens/s" in text or f"{2 / total:.1f} tokens/s" in text


def test_all_gpus_are_ranked_by_their_speedups(run):
    rows = json.loads(run("predict", "--gpu", "all", "--json"))["rows"]
    lines = run("predict", "--gpu", "all").splitlines()
    assert [r["speedup"] for r in rows] == sorted((r["speedup"] for r in rows), reverse=True)
    for row, line in zip(rows, lines, strict=True):
        alone = json.loads(run("predict", "--gpu", row["gpu"], "--json"))
        assert row["speedup"] == pytest.approx(alone["speedup"])
        name, speedup, microseconds, unit = line.split()
        assert (name, speedup, unit) == (row["gpu"], f"{alone['speedup']:.2f}x", "us")
        assert float(microseconds) == pytest.approx(alone["quantized"]["seconds"] * 1e6, abs=0.01)


def test_the_bits_of_a_target_reach_it_and_no_more(run):
    record = json.loads(run("predict", "--target", "2.5", "--json"))
    assert record["prediction"]["speedup"] == pytest.approx(2.5, rel=1e-3)
    more = json.loads(run("predict", "--bits", str(record["bits"] + 0.1), "--json"))
    assert more["speedup"] < 2.5


def test_a_list_names_what_the_other_options_take(run):
    listed = json.loads(run("predict", "--list", "--json"))
    text = " ".join(run("predict", "--list").split())
    for kind in ("devices", "kernels", "models"):
        assert f"{kind}: {', '.join(listed[kind])}" in text
    for name in listed["devices"]:
        run("predict", "--gpu", name)
    for name in listed["models"]:
        run("predict", "--model", name)


@pytest.mark.parametrize("text", ["28672x4096", "28672,4096", " 28672 x 4096 "])
def test_a_shape_may_be_written_in_several_ways(run, text):
    record = json.loads(run("predict", "--shape", text, "--json"))
    assert record["quantized"]["shape"] == [28672, 4096]


def test_figures_are_drawn_before_anything_is_said(run, tmp_path, capsys):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        run("predict", "--plot", str(blocked))
    assert capsys.readouterr().out == ""
