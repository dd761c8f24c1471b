"""quantize, dequantize, inspect, verify and schemes as a user meets them."""

import json

import pytest
from safetensors.numpy import load_file

from amssim._text import shown
from amssim.checkpoint import open_checkpoint, save_packed
from amssim.checkpoint.jobs import execute
from amssim.cli import main
from amssim.scheme import schemes
from amssim.tensor.quantize import quantize
from checkpoint.builders import make_model, weights, write_tensors


@pytest.fixture
def model(tmp_path):
    return make_model(tmp_path / "model")


@pytest.fixture
def amssim(capsys, monkeypatch):
    """Run a command line and return (exit code, standard output, standard error)."""
    monkeypatch.setenv("COLUMNS", "80")

    def call(*argv):
        code = main([str(argument) for argument in argv])
        return code, *capsys.readouterr()

    return call


def test_the_whole_way(amssim, model, tmp_path):
    packed, plain = tmp_path / "packed", tmp_path / "plain"
    code, out, err = amssim("quantize", model, packed, "--scheme", "fp4.25")
    assert code == 0 and err == ""  # no progress bar off a terminal
    assert "fp4.25-e2m2" in out and "BF16 (embedding)" in out and "wrote" in out
    code, out, _ = amssim("verify", packed)
    assert code == 0 and out.startswith("9 tensors in")
    code, out, _ = amssim("verify", packed, "--source", model)
    assert code == 0 and "the same bits" in out and "all packed weights" in out
    code, out, _ = amssim("inspect", packed)
    assert code == 0 and "model.layers.*.mlp.up_proj.weight" in out and "% of the weights" in out
    code, out, _ = amssim("dequantize", packed, plain, "--dtype", "float32")
    assert code == 0 and "F32 (from fp4.25-e2m2)" in out
    restored = load_file(plain / "model-00001-of-00002.safetensors")
    name = "model.layers.0.mlp.up_proj.weight"
    assert (restored[name] == open_checkpoint(packed)[name].dequantize()).all()


@pytest.mark.parametrize(
    "verb", [["quantize", "--dry-run"], ["quantize"], ["inspect"], ["schemes"], ["verify"]]
)
def test_screens_are_at_most_80_columns(amssim, model, tmp_path, monkeypatch, verb):
    monkeypatch.setenv("COLUMNS", "80")
    paths = {"quantize": [model, tmp_path / "new"], "schemes": []}
    amssim("quantize", model, tmp_path / "out")
    paths |= {"inspect": [tmp_path / "out"], "verify": [tmp_path / "out", "--source", model]}
    code, out, _ = amssim(*verb, *paths[verb[0]])
    assert code == 0
    lines = [line for line in out.splitlines() if str(tmp_path) not in line]
    assert max(map(len, lines)) <= 80


def test_json(amssim, model, tmp_path):
    code, out, err = amssim("quantize", model, tmp_path / "out", "--dry-run", "--json")
    plan = json.loads(out)
    assert code == 0 and err == "" and plan["schema"] == "amssim.plan/1"
    assert plan["written"] is False and not (tmp_path / "out").exists()
    code, out, _ = amssim("quantize", model, tmp_path / "out", "--json")
    done = json.loads(out)
    assert done == plan | {"written": True}
    stored = sum(p.stat().st_size for p in (tmp_path / "out").glob("*.safetensors"))
    assert done["output_bytes"] == stored
    assert next(t["reason"] for t in done["tensors"] if not t["quantized"]) == "output head"
    _, out, _ = amssim("inspect", tmp_path / "out", "--json", "--layout", "fp5.33")
    found = json.loads(out)
    assert found["schema"] == "amssim.inspection/1" and found["written_by"] == ["0.1.0"]
    assert found["tensors"] == done["tensors"] and found["layout"]["block_half_words"] == 1
    _, out, _ = amssim("verify", tmp_path / "out", "--source", model, "--json")
    found = json.loads(out)
    assert found["schema"] == "amssim.verification/1" and found["packed_tensors"] == 3
    assert found["error"]["count"] == sum(m["count"] for m in found["error_by_tensor"].values())
    _, out, _ = amssim("dequantize", tmp_path / "out", tmp_path / "plain", "--json")
    assert json.loads(out)["coverage"] == 0
    _, out, _ = amssim("schemes", "--json")
    assert [s["name"] for s in json.loads(out)["schemes"]] == [s.name for s in schemes()]


def test_options_reach_the_work(amssim, model, tmp_path):
    options = ["--search", "zero", "--scale", "mse", "--scale-block", "8", "--threads", "1"]
    rules = ["--rule", r"layers\.0\.=keep", "--rule", "experts=fp6-e3m2"]
    code, _, _ = amssim("quantize", model, tmp_path / "out", *options, *rules)
    found = open_checkpoint(tmp_path / "out")["model.layers.1.mlp.experts.down_proj"]
    assert code == 0 and found.scheme.name == "fp6-e3m2" and found.scale_block == 8
    source = open_checkpoint(model)["model.layers.1.mlp.experts.down_proj"].reshape(-1, 70)
    assert found == quantize(source, "fp6-e3m2", search="zero", scale="mse", scale_block=8)
    amssim("quantize", model, tmp_path / "out", "--overwrite", "--scheme", "fp4.25")
    assert "fp4.25-e2m2" in (tmp_path / "out" / "config.json").read_text()


FAILURES = [
    (["quantize", "NOTHING", "OUT"], 3, "nothing does not exist"),
    (["quantize", "MODEL", "OUT", "--scheme", "fp9"], 2, "9 bits: choose one of fp6-e2m3"),
    (["quantize", "MODEL", "OUT", "--rule", "zz=keep"], 3, "rule 'zz=keep' matches no tensor"),
    (["quantize", "MODEL", "OUT", "--rule", "("], 2, "must read REGEX=SCHEME"),
    (["quantize", "MODEL", "OUT", "--threads", "0"], 3, "threads must be a positive"),
    (["quantize", "MODEL", "OUT", "--scale-block", "-1"], 3, "scale_block must be a positive"),
    (["quantize", "MODEL", "MODEL"], 4, "is the source itself"),
    (["quantize", "MODEL", "MODEL/out"], 4, "lies inside the source"),
    (["quantize", "MODEL", "FULL"], 4, "is not empty"),
    (["dequantize", "MODEL", "OUT"], 3, "holds no tensors that amssim packed"),
    (["verify", "MODEL"], 3, "holds no tensors that amssim packed"),
    (["inspect"], 3, "nothing to inspect: give a PATH"),
    (["inspect", "--layout", "fp9"], 2, "9 bits: choose one of"),
    (["inspect", "BROKEN"], 3, "is cut off"),
    (["quantize", "BROKEN", "OUT"], 3, "is cut off"),
]


@pytest.mark.parametrize(("argv", "expected", "sentence"), FAILURES)
def test_failures(amssim, model, tmp_path, argv, expected, sentence):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("x")
    broken = make_model(tmp_path / "broken")
    shard = broken / "model-00002-of-00002.safetensors"
    shard.write_bytes(shard.read_bytes()[:-1])
    names = {"MODEL", "MODEL/out", "OUT", "FULL", "BROKEN", "NOTHING"}
    argv = [tmp_path / a.lower() if a in names else a for a in argv]
    code, out, err = amssim(*argv)
    assert (code, out) == (expected, "") and sentence in err
    assert err.startswith("amssim: error: ") and err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_an_interrupt_leaves_no_file(amssim, model, tmp_path, monkeypatch):
    run_threads = execute.run_threads

    def interrupted(*arguments):
        run_threads(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(execute, "run_threads", interrupted)
    code, out, err = amssim("quantize", model, tmp_path / "out")
    assert (code, out) == (130, "") and err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_38_names_out_of_files_are_neither_markup_nor_control_characters(amssim, tmp_path):
    name = "[bold red]x[/]\x1b[2J:smile:\nweight"
    save_packed(quantize(weights(4, 10)), tmp_path / "a.safetensors", name=name)
    for verb in ("inspect", "verify"):
        code, out, _ = amssim(verb, tmp_path / "a.safetensors")
        assert code == 0 and "\x1b" not in out
    _, out, _ = amssim("inspect", tmp_path / "a.safetensors")
    assert r"[bold red]x[/]\x1b[2J:smile:\nweight" in out.replace("\n ", "")


def test_remarks_and_what_was_not_copied_are_shown(amssim, model, tmp_path):
    (model / "consolidated.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    for argv in (["quantize", model, tmp_path / "out"], ["inspect", model]):
        _, out, _ = amssim(*argv)
        assert "note: consolidated.safetensors is not part of the checkpoint" in out
        assert ("not copied: consolidated.safetensors" in out) == (argv[0] == "quantize")


def test_a_plain_checkpoint_is_inspected_too(amssim, tmp_path):
    src = write_tensors(tmp_path / "a.safetensors", {"x": weights(2, 2, dtype="float32")})
    _, out, _ = amssim("inspect", src)
    assert "nothing is quantised" in out and "F32" in out and "32.000" in out


def test_38_names_are_shown_without_control_characters():
    assert shown("a[red]\x1b[2J\u202e\nb") == "a[red]\\x1b[2J\\u202e\\nb"
    assert shown("größe") == "größe"
