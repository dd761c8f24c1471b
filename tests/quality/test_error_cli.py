"""The verbs error, eval and report: output files, printed tables, sentences for bad input."""

import argparse
import csv
import json
import re

import numpy as np
import pytest
from safetensors.numpy import save_file

import tiny_llama
from amssim.checkpoint import quantize_checkpoint
from amssim.cli import error, eval, report
from amssim.errors import AmsError, FormatError, InputError, OutputError, SchemeError
from amssim.lm.load import load_model
from amssim.lm.windows import spread_windows
from amssim.quality.layers.sources import from_file

TOKENS = np.random.default_rng(8).integers(0, 50, 1200)


def call(verb, *words):
    parser = argparse.ArgumentParser()
    verb.add_parser(parser.add_subparsers())
    args = parser.parse_args([verb.__name__.split(".")[-1], *map(str, words)])
    return args.run(args)


@pytest.fixture
def checkpoint(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    np.save(tmp_path / "tokens.npy", TOKENS)
    return tiny_llama.write(folder)


def records_of(capsys, *words) -> list[dict]:
    """What a verb prints with --json."""
    assert call(*words, "--json") == 0
    return json.loads(capsys.readouterr().out)["records"]


def test_error_prints_and_writes(tmp_path, capsys):
    files = [tmp_path / f"study.{name}" for name in ("json", "csv")]
    for file in files:
        words = ["--weights", 4096, "--columns", 64, "--output", file]
        assert call(error, *words, "--plot", tmp_path / f"{file.suffix[1:]}.svg") == 0
    records = json.loads(files[0].read_text())["records"]
    rows = list(csv.DictReader(files[1].read_text().splitlines()))
    assert len(rows) == len(records) > 80
    assert float(rows[0]["sqnr_db"]) == records[0]["sqnr_db"]
    for name in ("k", "search", "scales"):
        one, again = (tmp_path / f"{kind}_cost_of_{name}.svg" for kind in ("json", "csv"))
        assert one.read_bytes() == again.read_bytes()
    assert len(list(tmp_path.iterdir())) == 2 + 6
    assert "normal: 4,096 weights" in capsys.readouterr().out
    with pytest.raises(OutputError, match="exists already: name a new file"):
        call(error, *words)


def test_the_study_reads_well_in_80_columns(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    np.save(tmp_path / "w.npy", np.random.default_rng(1).standard_normal((32, 512), np.float32))
    np.save(tmp_path / "x.npy", np.random.default_rng(2).standard_normal((999, 512), np.float32))
    files = ["--activations", tmp_path / "x.npy", "--output", tmp_path / "r.json"]
    call(error, tmp_path / "w.npy", *files)
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines()[1:])) <= 80 and "…" not in text  # line 0 has the path
    records = json.loads((tmp_path / "r.json").read_text())["records"]
    for r in records:
        if r["search"] == "adaptive" and r["share_axis"] == "input":
            assert f" {r['sqnr_db']:.2f}" in text
    weighted = [r for r in records if r["weighted"]]
    assert len(weighted) == 4 and all(f" {r['output_sqnr_db']:.2f}" in text for r in weighted)
    (whole,) = (r for r in records if r["scheme"] == "fp6-e2m3")
    own = next(r for r in records if r["scheme"] == "fp5.33-e2m3")
    less = whole["sqnr_db"] - own["sqnr_db"]
    assert f"{own['sqnr_db']:.2f} dB at 5.41 bits, {less:.2f} less than fp6-e2m3" in text


def test_chosen_options_are_one_table(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    words = ["--weights", 4096, "--columns", 64, "--scheme", "fp4.25", "--scheme", "ams-e2m3-k5"]
    words += ["--search", "replace", "--scale-block", 32, "--scale", "mse"]
    call(error, *words)
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80 and "replace" in text
    for r in records_of(capsys, error, *words):
        line = next(line for line in text.splitlines() if r["scheme"] in line)
        assert f"{r['effective_bits']:.3f}    {r['sqnr_db']:.2f}" in line
        assert f"{r['cosine']:.6f}" in line


def test_error_of_chosen_options(checkpoint, capsys):
    schemes = ["--scheme", "fp4.25", "--scheme", "fp5.33"]
    records = records_of(
        capsys, error, checkpoint, *schemes, "--search", "zero", "--search", "adaptive"
    )
    found = [(r["scheme"], r["search"]) for r in records]
    assert found == [(s, r) for s in ("fp4.25-e2m2", "fp5.33-e2m3") for r in ("zero", "adaptive")]


def test_error_weighs_by_activations(tmp_path, capsys):
    inputs = np.random.default_rng(2).standard_normal((500, 32)) * np.linspace(0.1, 3, 32)
    np.save(tmp_path / "w.npy", np.random.default_rng(1).standard_normal((8, 32), np.float32))
    np.save(tmp_path / "x.npy", inputs.astype(np.float32))
    words = [tmp_path / "w.npy", "--activations", tmp_path / "x.npy", "--scheme", "fp4.25"]
    (plain,) = records_of(capsys, error, *words)
    (weighted,) = records_of(capsys, error, *words, "--weighted")
    assert weighted["output_sqnr_db"] > plain["output_sqnr_db"] > 15


def test_inputs_by_layer_are_those_of_running_the_model(tmp_path, checkpoint, capsys):
    model = load_model(checkpoint)
    windows = spread_windows(TOKENS, count=32)[:, :-1]
    seen = {}
    model.logits(
        windows, lambda name, x: seen.update({f"{name}.weight": x.reshape(-1, x.shape[-1])})
    )
    save_file(seen, tmp_path / "x.safetensors")
    words = [checkpoint, "--scheme", "fp4.25", "--weighted"]
    np.save(tmp_path / "tokens.npy", TOKENS)
    (by_tokens,) = records_of(capsys, error, *words, "--tokens", tmp_path / "tokens.npy")
    (by_file,) = records_of(capsys, error, *words, "--activations", tmp_path / "x.safetensors")
    assert by_file["output_sqnr_db"] == pytest.approx(by_tokens["output_sqnr_db"], rel=1e-4)
    del seen["model.layers.1.mlp.up_proj.weight"]
    save_file(seen, tmp_path / "less.safetensors")
    with pytest.raises(InputError, match=r"has no inputs of model\.layers\.1\.mlp\.up_proj"):
        call(error, *words, "--activations", tmp_path / "less.safetensors")


def test_exact_weights_have_infinite_decibels(tmp_path, capsys):
    np.save(tmp_path / "w.npy", np.full((4, 32), 0.7, np.float32))
    np.save(tmp_path / "x.npy", np.ones((9, 32), np.float32))
    words = [tmp_path / "w.npy", "--scheme", "fp4.25", "--activations", tmp_path / "x.npy"]
    assert call(error, *words) == 0
    line = next(x for x in capsys.readouterr().out.splitlines() if "fp4.25-e2m2" in x)
    assert line.split()[2:4] == ["inf", "inf"]
    (record,) = records_of(capsys, error, *words)
    assert record["sqnr_db"] is None and record["output_sqnr_db"] is None


def test_plots_of_chosen_options_are_those_with_something_to_show(tmp_path):
    words = ["--weights", 4096, "--scheme", "fp4.25", "--plot", tmp_path / "f.png"]
    assert call(error, *words, "--scale-block", 64, "--scale-block", 128) == 0
    assert [p.name for p in tmp_path.iterdir()] == ["f_cost_of_scales.png"]
    assert call(error, *words[:-1], tmp_path / "g.png", "--search", "replace") == 0
    with pytest.raises(OutputError, match=r"f_cost_of_scales\.png exists already"):
        call(error, *words)


def test_packed_checkpoints_are_measured_as_they_restore(tmp_path, checkpoint, capsys):
    packed = tmp_path / "packed"
    quantize_checkpoint(checkpoint, packed, "fp4.25")
    finer = records_of(capsys, error, packed, "--scheme", "fp4.25")[0]
    assert finer["count"] == sum(x.weights.size for x in from_file(checkpoint))
    assert finer["sqnr_db"] > 40  # what is rounded already stays
    stored, again = records_of(
        capsys, eval, packed, "--tokens", tmp_path / "tokens.npy", "--windows", 2, "--length", 16,
        "--scheme", "fp4.25",
    )  # fmt: skip
    assert again["perplexity"] == pytest.approx(stored["perplexity"], rel=1e-3)


def test_error_ranks_formats_of_a_budget(tmp_path, capsys):
    words = ["--budget", 4.25, "--density", "laplace"]
    assert call(error, *words, "--output", tmp_path / "r.json") == 0
    lines = capsys.readouterr().out.splitlines()
    assert "fp4.25-e2m2" in next(line for line in lines if re.search(r"e\dm\d", line))
    assert call(error, *words, "--output", tmp_path / "r.csv") == 0
    rows = list(csv.DictReader((tmp_path / "r.csv").read_text().splitlines()))
    found = json.loads((tmp_path / "r.json").read_text())
    assert [float(r["mse"]) for r in rows] == [f["mse"] for f in found["formats"]]
    bound, coded, lloyd = (b["mse"] for b in found["bounds"])
    assert bound < coded < lloyd and found["formats"][0]["scheme"] == "fp4.25-e2m2"


def test_eval_writes_perplexities(tmp_path, checkpoint, capsys):
    target = tmp_path / "r.json"
    words = [checkpoint, "--tokens", tmp_path / "tokens.npy", "--windows", 4, "--length", 16]
    formats = ["--scheme", "fp4.25", "--scheme", "fp16"]
    assert call(eval, *words, *formats, "--output", target) == 0
    stored, fp4, fp16 = json.loads(target.read_text())["records"]
    assert fp16["perplexity"] == pytest.approx(stored["perplexity"], rel=1e-6)
    assert fp4["kl_mean"] > 0
    assert "64 predicted tokens" in capsys.readouterr().out
    assert records_of(capsys, eval, *words, *formats) == [stored, fp4, fp16]
    assert call(eval, *words, "--scheme", "fp4.25", "--weighted", "--full") == 0
    assert "output dB" in capsys.readouterr().out


def test_report_is_one_page_without_links(tmp_path, checkpoint):
    page = tmp_path / "r.html"
    words = [checkpoint, "-o", page, "--weights", 9000]
    assert call(report, *words, "--tokens", tmp_path / "tokens.npy", "--windows", 1) == 0
    text = page.read_text()
    assert text.count("<svg") == 8 and "perplexity" in text and "about 9,000 weights" in text
    for words in ("fp4.25-e2m2: ", "less than fp5-e2m2", "of shape ", "rate-distortion"):
        assert words in re.sub(r"<!--|-->", "", text), words
    assert not re.search(r"<script|<link|src=|@import", text)
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids)) > 100
    assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', text)) <= set(ids)
    outside = re.findall(r"https?://[^\"' <]+", text)
    assert all(re.search(r"w3\.org|purl\.org|creativecommons\.org", url) for url in outside)


BAD = [
    (error, ["{tmp}/none"], InputError, "none does not exist"),
    (error, ["{tmp}/none.npy"], FormatError, "cannot be read as weights: No such file"),
    (error, ["--density", "cauchy"], InputError, "unknown density 'cauchy'"),
    (error, ["--weights", "0"], InputError, r"--weights is 0, expected 1 to 1e\+12"),
    (error, ["--weights", "1e30"], InputError, r"--weights is 1e\+30, expected 1 to 1e\+12"),
    (error, ["--columns", "0"], InputError, "--columns is 0, expected 1 to"),
    (error, ["--scheme", "fp9"], SchemeError, "9 bits: choose one of"),
    (error, ["--search", "best"], SchemeError, "unknown search rule 'best'"),
    (error, ["--activations", "{tmp}/none.npy"], FormatError, "cannot be read as activations"),
    (error, ["{tmp}/text.npy"], FormatError, "no .npy file of numbers, or cut short"),
    (error, ["{tmp}/empty.npy"], FormatError, "no .npy file of numbers, or cut short"),
    (error, ["{tmp}/far64.npy"], InputError, "NaN or infinite, 4 in all"),
    (error, ["--weights", "nan"], InputError, "--weights is nan, expected 1 to"),
    (error, ["--seed", "-1"], InputError, "--seed is -1, expected 0 to"),
    (error, ["--budget", "4", "--scheme", "fp4"], InputError, "leave out --scheme"),
    (error, ["{tmp}/model", "--budget", "4"], InputError, "leave out a source"),
    (error, ["--budget", "4", "--plot", "{tmp}/p.svg"], InputError, "leave out --plot"),
    (error, ["--tokens", "{tmp}/tokens.npy"], InputError, "--tokens needs a language model"),
    (error, ["--plot", "{tmp}/p.xyz"], OutputError, "expected a name in .svg, .png, .pdf"),
    (error, ["{tmp}/model", "--scheme", "fp4.25", "--activations", "{tmp}/x.npy"], InputError,
     "activations have 7 columns: expected "),
    (error, ["{tmp}/model", "--activations", "{tmp}/x.npy", "--tokens", "{tmp}/tokens.npy"],
     InputError, "both tell the inputs"),
    (error, ["--budget", "1"], InputError, "expected 2.1 to 8 bits"),
    (error, ["--budget", "nan"], InputError, "expected 2.1 to 8 bits"),
    (error, ["--scheme", "fp4.25", "--weighted"], InputError, "needs activations"),
    (error, ["--scheme", "fp4.25", "--scale-block", "0"], SchemeError, "found 0"),
    (error, ["--output", "{tmp}/a/b"], OutputError, "there is no directory"),
    (error, ["--output", "{tmp}/tokens.npy"], OutputError, "exists already"),
    (error, ["--scheme", "fp4.25", "--weights", "64", "--plot", "{tmp}/a/b.svg"], OutputError,
     "cannot be written"),
    (eval, ["{tmp}/model", "--tokens", "{tmp}/far.npy"], InputError, "outside the vocabulary"),
    (eval, ["{tmp}/model", "--tokens", "{tmp}/none.npy"], FormatError, "cannot be read as tokens"),
    (eval, ["{tmp}", "--tokens", "{tmp}/tokens.npy"], FormatError, "needs its config.json"),
    (eval, ["{tmp}/model", "--tokens", "{tmp}/tokens.npy", "--scheme", "fp9"], SchemeError,
     "9 bits: choose one of"),
    (eval, ["{tmp}/model", "--tokens", "{tmp}/tokens.npy", "--windows", "0"], InputError,
     "--windows is 0, expected at least 1"),
    (eval, ["{tmp}/model", "--tokens", "{tmp}/tokens.npy", "--output", "{tmp}/far.npy"],
     OutputError, "exists already"),
    (report, ["{tmp}/none", "-o", "{tmp}/r.html"], InputError, "none does not exist"),
    (report, ["{tmp}/model", "-o", "{tmp}/far.npy"], OutputError, "exists already"),
    (report, ["{tmp}/model", "--weights", "0"], InputError, "must be at least 1"),
]  # fmt: skip


@pytest.mark.parametrize(("verb", "words", "kind", "message"), BAD)
def test_bad_input_is_one_sentence(tmp_path, checkpoint, verb, words, kind, message):
    np.save(tmp_path / "far.npy", TOKENS + 40)
    np.save(tmp_path / "far64.npy", np.full((2, 2), 1e300))
    np.save(tmp_path / "x.npy", np.ones((9, 7), np.float32))
    (tmp_path / "text.npy").write_text("words")
    (tmp_path / "empty.npy").touch()
    with pytest.raises(kind, match=message) as found:
        call(verb, *(word.format(tmp=tmp_path) for word in words))
    assert isinstance(found.value, AmsError) and "\n" not in str(found.value)
    assert found.value.exit_code in (2, 3, 4)
