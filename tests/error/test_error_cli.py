"""The verbs error, eval and report: output files, printed tables, sentences for bad input."""

import argparse
import csv
import json
import re

import numpy as np
import pytest
import tiny_llama

from amssim.cli import error, eval, report
from amssim.errors import AmsError, FormatError, InputError, OutputError, SchemeError

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
        assert call(error, *words, "--plot", tmp_path / "f.svg") == 0
    records = json.loads(files[0].read_text())["records"]
    rows = list(csv.DictReader(files[1].read_text().splitlines()))
    assert len(rows) == len(records) > 80
    assert float(rows[0]["sqnr_db"]) == records[0]["sqnr_db"]
    assert {p.name for p in tmp_path.glob("f_*.svg")} == {
        f"f_cost_of_{name}.svg" for name in ("k", "search", "scales")
    }
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


def test_error_ranks_formats_of_a_budget(tmp_path, capsys):
    words = ["--budget", 4.25, "--density", "laplace"]
    assert call(error, *words, "--output", tmp_path / "r.json") == 0
    lines = capsys.readouterr().out.splitlines()
    assert "fp4.25-e2m2" in next(line for line in lines if re.search(r"e\dm\d", line))
    found = json.loads((tmp_path / "r.json").read_text())
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
    assert text.count("<svg") >= 6 and "perplexity" in text and "about 9,000 weights" in text
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
    (error, ["--weights", "0"], InputError, "expected at least one of each"),
    (error, ["--scheme", "fp9"], SchemeError, "9 bits: choose one of"),
    (error, ["--search", "best"], SchemeError, "unknown search rule 'best'"),
    (error, ["--activations", "{tmp}/none.npy"], FormatError, "cannot be read as activations"),
    (error, ["{tmp}/text.npy"], FormatError, "no .npy file of numbers, or cut short"),
    (error, ["{tmp}/far64.npy"], InputError, "NaN or infinite, 4 in all"),
    (error, ["--weights", "nan"], InputError, "expected at least one of each"),
    (error, ["--seed", "-1"], InputError, "a seed from 0"),
    (error, ["--budget", "1"], InputError, "expected 2.1 to 8 bits"),
    (error, ["--budget", "nan"], InputError, "expected 2.1 to 8 bits"),
    (error, ["--scheme", "fp4.25", "--weighted"], InputError, "needs activations"),
    (error, ["--scheme", "fp4.25", "--scale-block", "0"], InputError, "block"),
    (error, ["--output", "{tmp}/a/b"], OutputError, "there is no directory"),
    (error, ["--output", "{tmp}/tokens.npy"], OutputError, "exists already"),
    (error, ["--scheme", "fp4.25", "--weights", "64", "--plot", "{tmp}/a/b"], OutputError,
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
    (tmp_path / "text.npy").write_text("words")
    with pytest.raises(kind, match=message) as found:
        call(verb, *(word.format(tmp=tmp_path) for word in words))
    assert isinstance(found.value, AmsError) and "\n" not in str(found.value)
    assert found.value.exit_code in (2, 3, 4)
