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


def test_error_prints_and_writes(tmp_path, capsys):
    files = {name: tmp_path / f"study.{name}" for name in ("json", "csv")}
    words = ["--weights", 4096, "--columns", 64, "--json", files["json"], "--csv", files["csv"]]
    assert call(error, *words, "--plot", tmp_path / "f.svg") == 0
    records = json.loads(files["json"].read_text())
    rows = list(csv.DictReader(files["csv"].read_text().splitlines()))
    assert len(rows) == len(records) > 80
    assert float(rows[0]["sqnr_db"]) == records[0]["sqnr_db"]
    assert {p.name for p in tmp_path.glob("f_*.svg")} == {
        f"f_cost_of_{name}.svg" for name in ("k", "search", "scales")
    }
    assert "normal: 4,096 weights" in capsys.readouterr().out


def test_error_of_chosen_options(tmp_path, checkpoint):
    target = tmp_path / "r.json"
    call(error, checkpoint, "--scheme", "fp4.25", "--scheme", "fp5.33", "--search", "zero",
         "--search", "adaptive", "--json", target)  # fmt: skip
    found = [(r["scheme"], r["search"]) for r in json.loads(target.read_text())]
    assert found == [(s, r) for s in ("fp4.25-e2m2", "fp5.33-e2m3") for r in ("zero", "adaptive")]


def test_error_under_activations(tmp_path):
    np.save(tmp_path / "w.npy", np.random.default_rng(1).standard_normal((8, 32), np.float32))
    np.save(tmp_path / "x.npy", np.random.default_rng(2).standard_normal((100, 32), np.float32))
    target = tmp_path / "r.json"
    words = [tmp_path / "w.npy", "--activations", tmp_path / "x.npy", "--json", target]
    assert call(error, *words, "--scheme", "fp4.25") == 0
    assert json.loads(target.read_text())[0]["output_sqnr_db"] > 15


def test_error_ranks_formats_of_a_budget(capsys):
    assert call(error, "--budget", 4.25, "--density", "laplace") == 0
    lines = capsys.readouterr().out.splitlines()
    assert "fp4.25-e2m2" in next(line for line in lines if re.search(r"e\dm\d", line))


def test_eval_writes_perplexities(tmp_path, checkpoint, capsys):
    target = tmp_path / "r.json"
    words = [checkpoint, "--tokens", tmp_path / "tokens.npy", "--windows", 4, "--length", 16]
    assert call(eval, *words, "--scheme", "fp4.25", "--scheme", "fp16", "--json", target) == 0
    stored, fp4, fp16 = json.loads(target.read_text())
    assert fp16["perplexity"] == pytest.approx(stored["perplexity"], rel=1e-6)
    assert fp4["kl_mean"] > 0
    assert "64 predicted tokens" in capsys.readouterr().out
    assert call(eval, *words, "--scheme", "fp4.25", "--weighted", "--full") == 0
    assert "output dB" in capsys.readouterr().out


def test_report_is_one_page_without_links(tmp_path, checkpoint):
    page = tmp_path / "r.html"
    words = [checkpoint, "-o", page, "--weights", 9000]
    assert call(report, *words, "--tokens", tmp_path / "tokens.npy", "--windows", 1) == 0
    text = page.read_text()
    assert text.count("<svg") >= 6 and "perplexity" in text and "about 9,000 weights" in text
    assert not re.search(r"<script|<link|src=|@import", text)
    outside = re.findall(r"https?://[^\"' <]+", text)
    assert all(re.search(r"w3\.org|purl\.org|creativecommons\.org", url) for url in outside)


BAD = [
    (error, ["{tmp}/none"], InputError, "none does not exist"),
    (error, ["{tmp}/none.npy"], FormatError, "cannot be read as .npy weights"),
    (error, ["--density", "cauchy"], InputError, "unknown density 'cauchy'"),
    (error, ["--weights", "0"], InputError, "expected at least one of each"),
    (error, ["--scheme", "fp9"], SchemeError, "9 bits: choose one of"),
    (error, ["--search", "best"], SchemeError, "unknown search rule 'best'"),
    (error, ["--activations", "{tmp}/none.npy"], InputError, "cannot be read as .npy"),
    (error, ["--budget", "1"], InputError, "no format has at most 1 bits"),
    (error, ["--scheme", "fp4.25", "--weights", "64", "--columns", "64", "--json", "{tmp}/a/b"],
     OutputError, "cannot be written"),
    (eval, ["{tmp}/model", "--tokens", "{tmp}/far.npy"], InputError, "outside the vocabulary"),
    (eval, ["{tmp}/model", "--tokens", "{tmp}/none.npy"], FormatError, "is no token file"),
    (eval, ["{tmp}", "--tokens", "{tmp}/tokens.npy"], FormatError, "needs its config.json"),
    (eval, ["{tmp}/model", "--tokens", "{tmp}/tokens.npy", "--scheme", "fp9"], SchemeError,
     "9 bits: choose one of"),
    (report, ["{tmp}/none"], InputError, "none does not exist"),
    (report, ["{tmp}/model", "--weights", "0"], InputError, "must be at least 1"),
]  # fmt: skip


@pytest.mark.parametrize(("verb", "words", "kind", "message"), BAD)
def test_bad_input_is_one_sentence(tmp_path, checkpoint, verb, words, kind, message):
    np.save(tmp_path / "far.npy", TOKENS + 40)
    with pytest.raises(kind, match=message) as found:
        call(verb, *(word.format(tmp=tmp_path) for word in words))
    assert isinstance(found.value, AmsError) and "\n" not in str(found.value)
    assert found.value.exit_code in (2, 3, 4)
