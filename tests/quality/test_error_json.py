"""JSON and CSV of the verbs: schemas, names and numbers that other programs read."""

import csv
import json
from io import StringIO

import numpy as np
import pytest

import tiny_llama
from amssim.cli import main
from amssim.quality.theory.bounds import shannon_lower_bound
from amssim.quality.theory.density import density


def printed(capsys, *words):
    assert main([str(w) for w in words]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.fixture
def checkpoint(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    np.save(tmp_path / "tokens.npy", np.random.default_rng(8).integers(0, 50, 900))
    return tiny_llama.write(folder)


SMALL = ["error", "--weights", 2048, "--columns", 64]


def test_schemas_are_named_after_the_verbs(capsys, checkpoint, tmp_path):
    """Programs tell files by these strings: they stay, whatever modules are called."""
    study = printed(capsys, *SMALL, "--scheme", "fp4.25", "--json")
    assert study["schema"] == "amssim.error/1" and study["source"] == "normal"
    budget = printed(capsys, "error", "--budget", 4.25, "--json")
    assert budget["schema"] == "amssim.error.budget/1"
    words = ["--tokens", tmp_path / "tokens.npy", "--windows", 2, "--length", 16]
    scored = printed(capsys, "eval", checkpoint, *words, "--scheme", "fp4.25", "--json")
    assert scored["schema"] == "amssim.eval/1" and scored["checkpoint"] == str(checkpoint)


def test_files_hold_what_is_printed(capsys, tmp_path):
    words = [*SMALL, "--scheme", "fp4.25", "--search", "zero", "--scale-block", 16]
    shown = printed(capsys, *words, "--json", "--output", tmp_path / "r.json")
    assert json.loads((tmp_path / "r.json").read_text()) == shown
    assert main([str(w) for w in [*words, "--output", tmp_path / "r.csv"]]) == 0
    (row,) = csv.DictReader(StringIO((tmp_path / "r.csv").read_text()))
    (record,) = shown["records"]
    assert list(row) == list(record)
    assert {n: str(v) for n, v in record.items() if v is not None} == {
        n: v for n, v in row.items() if v != ""
    }


def test_options_are_combined_in_the_order_of_their_names(capsys):
    words = ["--scale-block", 16, "--scale-block", 32, "--scale", "mse", "--scale", "absmax"]
    found = printed(capsys, *SMALL, *words, "--search", "one", "--search", "zero", "--json")
    made = [(r["scheme"], r["search"], r["scale"], r["scale_block"]) for r in found["records"]]
    assert made == [
        (scheme, search, scale, block)
        for scheme in ("fp5.33-e2m3", "fp4.25-e2m2")
        for search in ("one", "zero")
        for scale in ("mse", "absmax")
        for block in (16, 32)
    ]


def test_what_is_not_asked_for_is_the_default(capsys):
    (record,) = printed(capsys, *SMALL, "--scheme", "fp4.25", "--json")["records"]
    usual = {"search": "adaptive", "scale": "absmax", "scale_block": None, "share_axis": "input",
             "order": "stored", "weighted": False}  # fmt: skip
    assert {n: record[n] for n in usual} == usual
    twice = printed(capsys, *SMALL, "--scheme", "fp4.25", "--scheme", "fp4.25-e2m2", "--json")
    assert twice["records"] == [record]


def test_seeds_and_densities_change_the_numbers(capsys):
    words = [*SMALL, "--scheme", "fp4.25", "--json"]
    first, again = (printed(capsys, *words)["records"] for _ in range(2))
    other = printed(capsys, *words, "--seed", 1)["records"]
    heavy = printed(capsys, *words, "--density", "t5")
    assert first == again != other and heavy["source"] == "t5"
    assert heavy["records"][0]["sqnr_db"] < first[0]["sqnr_db"]


def test_the_budget_lists_formats_and_bounds(capsys):
    found = printed(capsys, "error", "--budget", 4.25, "--json")
    assert list(found) == ["schema", "density", "budget", "formats", "bounds"]
    errors = [form["mse"] for form in found["formats"]]
    assert errors == sorted(errors)
    assert all(list(form) == ["scheme", "bits", "clip", "mse"] for form in found["formats"])
    bound, coded, lloyd = found["bounds"]
    assert bound["mse"] == shannon_lower_bound(density("normal"), 4.25) < coded["mse"]
    assert lloyd["name"] == "Lloyd-Max, 18 levels"  # the even number within 2^4.25


def test_records_of_a_model(capsys, checkpoint, tmp_path):
    words = ["--tokens", tmp_path / "tokens.npy", "--windows", 2, "--length", 16]
    schemes = ["--scheme", "nf4-g16", "--scheme", "joint-fp4.25", "--scheme", "fp16"]
    stored, *found = printed(capsys, "eval", checkpoint, *words, *schemes, "--json")["records"]
    assert [r["name"] for r in found] == ["nf4-g16", "fp4.25-e2m2 joint", "fp16"]
    assert list(stored) == ["name", "family", "tokens", "perplexity", "kl_mean", "kl_p99"]
    assert stored["tokens"] == 32 and stored["kl_mean"] == 0
    for record in found:
        assert record["tokens"] == 32 and "output_sqnr_db" not in record
    assert [r["effective_bits"] for r in found[::2]] == [5.0, 16.0]


def test_calibrated_records_say_so_and_have_outputs(capsys, checkpoint, tmp_path):
    words = ["--tokens", tmp_path / "tokens.npy", "--windows", 4, "--length", 16, "--weighted"]
    schemes = ["--scheme", "gptq-fp4.25", "--scheme", "fp4.25", "--scheme", "int4-g16"]
    _, *found = printed(capsys, "eval", checkpoint, *words, *schemes, "--json")["records"]
    assert [r["name"] for r in found] == [
        "gptq fp4.25-e2m2, calibrated", "fp4.25-e2m2 weighted, calibrated", "int4-g16",
    ]  # fmt: skip
    assert all(record["output_sqnr_db"] > 10 for record in found)


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["error", "--scheme", "fp4.25", "--share-axis", "rows"], 2,
         "unknown share axis 'rows': choose one of input, output"),
        (["error", "--scheme", "fp4.25", "--order", "random"], 2,
         "unknown order 'random': choose one of stored, columns, magnitude"),
        (["error", "--scheme", "fp4.25", "--scale", "max"], 2, "unknown scale rule 'max'"),
        (["error", "--scheme", "fp4.25", "--order", "columns", "--weighted"], 3,
         "a weighted search needs share_axis='input' and order='stored'"),
        (["error", "--density", "t2"], 3, "expected at least 3 degrees of freedom"),
        (["error", "--budget", "9"], 3, "--budget is 9, expected 2.1 to 8 bits"),
        (["error", "--budget", "4", "--weighted"], 3,
         "--budget ranks formats for a --density alone: leave out --weighted"),
    ],
)  # fmt: skip
def test_refusals_are_one_sentence_and_a_code(capsys, words, code, sentence):
    found = main(words)
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1
    assert said.err.startswith("amssim: error: ") and sentence in said.err
    assert found in (2, 3) and found == code


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--scheme", "nf9"], "unknown format 'nf9': choose one of int4, int5, int4-asym"),
        (["--scheme", "gptq-fp4.25"], "gptq-fp4.25 feeds errors back through the inputs of each"),
        (["--scheme", "joint-nf4"], "unknown format 'joint-nf4'"),
        (["--scheme", "joint-fp4.25", "--scale", "mse"], "decides 'scale' itself: leave it out"),
        (["--length", "0"], "--length is 0, expected at least 1"),
        (["--calibrate", "-1"], "--calibrate is -1, expected at least 0"),
        (["--backend", "jax"], "unknown backend 'jax': choose one of numpy, torch"),
        (["--weighted", "--windows", "60", "--length", "16"], "tokens leave no room for 60"),
    ],
)
def test_evaluations_that_are_refused(capsys, checkpoint, tmp_path, words, sentence):
    base = ["eval", str(checkpoint), "--tokens", str(tmp_path / "tokens.npy")]
    assert main([*base, *words]) in (2, 3)
    said = capsys.readouterr()
    assert sentence in said.err and said.err.count("\n") == 1
