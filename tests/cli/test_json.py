"""``--json`` of every verb: one document with a named form, its keys, and nothing else."""

import json

import pytest
from cli_cases import parsers, words, write_files

from amssim.cli import main
from amssim.cli.entry import make_parser

SIDE = ["bits", "gpu", "shape", "batch", "kernel", "l2", "graph", "seconds", "interval", "binding"]
SIDE += ["breakdown", "variant", "split", "warnings"]
SPEEDUP = ["speedup", "interval", "ideal", "quantized", "baseline", "warnings"]
DECODE = ["model", "gpu", "bits", "batch", "context", "kv_bits", "graph", "seconds"]
DECODE += ["tokens_per_s", "weight_share", "parts"]
BUDGET = ["bits", "gpu", "shape", "batch", "kernel", "l2", "graph", "allowed", "spent", "fits"]
JOB = ["source", "target", "written", "output_bytes", "coverage", "effective_bits", "tensors"]
RECORD = ["scheme", "search", "scale", "sqnr_db", "effective_bits"]

# command line: (name of the form, keys that scripts rely on)
CASES = {
    "schemes": ("schemes/1", ["schemes"]),
    "quantize model out --dry-run": ("plan/1", JOB),
    "quantize model out": ("plan/1", JOB),
    "verify out": ("verification/1", ["tensors", "packed_tensors", "checked_bytes", "error"]),
    "seal out": ("seal/1", ["digest", "run", "files", "rewritten", "not_covered", "remarks"]),
    "inspect out": ("inspection/1", ["tensors", "coverage", "written_by"]),
    "inspect --layout fp5.33": ("inspection/1", ["layout"]),
    "dequantize out plain": ("plan/1", JOB),
    "quantize model parts --part 1/1": ("plan/1", JOB),
    "finish parts": ("plan/1", JOB),
    "predict": ("predict/1", SPEEDUP),
    "predict --model qwen3-8b": ("predict/1", DECODE),
    "predict --budget": ("predict/1", BUDGET),
    "predict --target 2": ("predict/1", ["target", "bits", "scheme", "prediction"]),
    "predict --list": ("predict/1", ["devices", "kernels", "models"]),
    "predict --gpu all": ("predict/1", ["rows"]),
    "error w.npy --scheme fp4.25": ("error/1", ["source", "records"]),
    "eval llama --tokens tokens.npy --windows 1 --length 8 --scheme fp4.25": (
        "eval/1",
        ["checkpoint", "records"],
    ),
}


def no_constant(name):
    raise AssertionError(f"{name} is no JSON")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("json")
    write_files(path)
    return path


@pytest.fixture(scope="module")
def documents(folder):
    """What each command line printed, in the order of `CASES`: later ones need earlier ones."""
    return {}


@pytest.mark.parametrize("line", CASES)
def test_json_is_one_document_with_its_keys(line, folder, documents, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    assert main([*line.split(), "--json"]) == 0
    out, err = capsys.readouterr()
    document = json.loads(out, parse_constant=no_constant)
    form, keys = CASES[line]
    assert document["schema"] == f"amssim.{form}" and next(iter(document)) == "schema"
    assert set(keys) <= set(document), set(keys) - set(document)
    assert err == ""
    documents[line] = document


def test_values_are_in_the_units_that_their_names_say(documents):
    if not documents:
        pytest.skip("runs after the test above")
    speedup = documents["predict"]
    assert set(SIDE) <= set(speedup["quantized"]) and set(SIDE) <= set(speedup["baseline"])
    assert 1e-6 < speedup["quantized"]["seconds"] < 1e-3
    ratio = speedup["baseline"]["seconds"] / speedup["quantized"]["seconds"]
    assert speedup["speedup"] == pytest.approx(ratio)
    decode = documents["predict --model qwen3-8b"]
    assert decode["tokens_per_s"] == pytest.approx(decode["batch"] / decode["seconds"])
    record = documents["error w.npy --scheme fp4.25"]["records"][0]
    assert set(RECORD) <= set(record) and 4.25 < record["effective_bits"] < 8
    planned = documents["quantize model out --dry-run"]
    assert documents["quantize model out"] == planned | {"written": True}
    preset = documents["schemes"]["schemes"][0]
    assert {"name", "bits", "bits_exact", "k", "max_value"} <= set(preset)


def test_every_verb_with_json_is_here():
    tried = {line.split()[0] for line in CASES} | {
        "bench",
        "demo",
        "generate",
    }  # those have tests of their own
    with_json = {
        words(p)[0] for p in parsers(make_parser()) if "--json" in p._option_string_actions
    }
    assert tried == with_json
