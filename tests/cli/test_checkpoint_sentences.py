"""Bad input to the verbs of checkpoints: exit code and the whole sentence, for each."""

import json

import numpy as np
import pytest

from amssim.cli import main
from checkpoint.builders import INDEX, entry, make_model, raw_file, weights, write_tensors

ALREADY = "start from the float checkpoint, or dequantise it first"
NAN = np.float32([[1, np.nan], [np.inf, 1]])


@pytest.fixture
def refused(capsys, monkeypatch, tmp_path):
    """Run a command line in a folder of its own; return exit code and sentence."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)

    def call(*argv):
        code = main([str(argument) for argument in argv])
        out, err = capsys.readouterr()
        assert out == "" and err.startswith("amssim: error: ") and err.count("\n") == 1
        return code, err.removeprefix("amssim: error: ").removesuffix("\n")

    return call


def folder(name="x", tensors=None, **files):
    """A directory with one shard and other files; __ in a name is a dot."""
    from pathlib import Path

    Path(name).mkdir()
    write_tensors(Path(name, "m.safetensors"), tensors or {"a.weight": weights(2, 3)})
    for file, text in files.items():
        Path(name, file.replace("__", ".")).write_text(text)


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ('{"a": 1, "a": 2}', "x/config.json holds the key 'a' twice"),
        ("[1]", "x/config.json must hold a JSON object"),
        ("", "x/config.json is not JSON: Expecting value: line 1 column 1 (char 0)"),
        ('{"a": "\\ud800"}', "x/config.json holds text that is not Unicode: '\\ud800'"),
        (
            '{"quantization_config": {"quant_method": "gptq"}}',
            f"x is quantised already (quant_method 'gptq' in config.json): {ALREADY}",
        ),
        (
            '{"text_config": {"quantization_config": {"quant_method": "awq"}}}',
            f"x is quantised already (quant_method 'awq' in config.json): {ALREADY}",
        ),
        (
            '{"compression_config": 7}',
            f"x is quantised already (quant_method '7' in config.json): {ALREADY}",
        ),
    ],
)
def test_a_config_that_is_damaged_or_says_quantised(refused, config, sentence):
    folder(config__json=config)
    assert refused("quantize", "x", "out") == (3, sentence)
    assert refused("quantize", "x", "out", "--dry-run") == (3, sentence)


@pytest.mark.parametrize(
    "name",
    ["qweight", "qzeros", "g_idx", "SCB", "absmax", "quant_map", "quant_state.bitsandbytes__nf4",
     "weight_packed", "weight_scale", "weight_scale_inv", "weight_zero_point"],
)  # fmt: skip
def test_names_that_other_methods_give_their_tensors(refused, name):
    folder(tensors={"a.weight": weights(2, 3), f"b.{name}": weights(2)})
    sentence = f"x is quantised already (tensor 'b.{name}'): {ALREADY}"
    assert refused("quantize", "x", "out") == (3, sentence)


def test_eight_bit_floats_are_somebodys_quantisation(refused, tmp_path):
    raw = raw_file({"a.weight": entry("F8_E4M3", [2, 3], 0, 6)}, bytes(6))
    (tmp_path / "f8.safetensors").write_bytes(raw)
    sentence = f"f8.safetensors is quantised already (tensor 'a.weight' is F8_E4M3): {ALREADY}"
    assert refused("quantize", "f8.safetensors", "out.safetensors") == (3, sentence)


@pytest.mark.parametrize(
    ("index", "sentence"),
    [
        ("{}", f"x/{INDEX} must hold a weight_map from tensors to shards"),
        (
            '{"weight_map": {"a": "../x.safetensors"}}',
            f"x/{INDEX} names the shard '../x.safetensors': expected a plain file name such as "
            "'model-00001-of-00002.safetensors'",
        ),
        (
            '{"weight_map": {"a": "x.safetensors", "b": "X.safetensors"}}',
            f"x/{INDEX} names shards that differ only in case: X.safetensors, x.safetensors",
        ),
        (
            '{"weight_map": {"a": "gone.safetensors"}}',
            f"x/{INDEX} names gone.safetensors, which is missing",
        ),
        (
            '{"weight_map": {"zz": "m.safetensors"}}',
            f"x/{INDEX} maps 'zz' to m.safetensors, which does not hold it",
        ),
        (
            '{"weight_map": {"a.weight": "m.safetensors"}, "x": NaN}',
            f"x/{INDEX} holds the constant NaN, which JSON does not have",
        ),
    ],
)
@pytest.mark.parametrize("verb", ["quantize", "dequantize", "inspect", "verify"])
def test_an_index_that_does_not_fit(refused, verb, index, sentence, tmp_path):
    folder()
    (tmp_path / "x" / INDEX).write_text(index)
    target = ["out"] if verb in ("quantize", "dequantize") else []
    assert refused(verb, "x", *target) == (3, sentence)


@pytest.mark.parametrize(
    ("tensors", "sentence"),
    [
        (
            {"a.weight": NAN},
            "x/m.safetensors: tensor 'a.weight' holds 2 NaN or Inf, the first at [0, 1]: mend it, "
            "or keep the tensor by the rule 'a\\.weight=keep', or all such by --on-nan keep",
        ),
        (
            {"experts": np.stack([np.ones((2, 2), np.float32), NAN])},
            "x/m.safetensors: tensor 'experts' holds 2 NaN or Inf, the first at [1, 0, 1]: mend "
            "it, or keep the tensor by the rule 'experts=keep', or all such by --on-nan keep",
        ),
        ({"a": weights(3)}, "nothing of x would be quantised (1-D): choose tensors by a rule"),
        (
            {"a.weight": weights(2, 3), "a.weight_shape": weights(2)},
            "x: two tensors would be stored as 'a.weight_shape': keep one of them by a rule",
        ),
    ],
)
def test_tensors_that_cannot_be_quantised(refused, tmp_path, tensors, sentence):
    folder(tensors=tensors)
    assert refused("quantize", "x", "out") == (3, sentence)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("rules", "code", "sentence"),
    [
        (["zz=keep"], 3, "rule 'zz=keep' matches no tensor: expressions are searched for anywhere "
         "in a tensor's name"),
        (["("], 2, "rule '(' must read REGEX=SCHEME or REGEX=keep"),
        (["(=keep"], 2, "rule '(=keep' is no regular expression: missing ), unterminated "
         "subpattern at position 0"),
        ([".*=keep"], 3, "nothing of model would be quantised (rule .*=keep): choose tensors by a "
         "rule"),
        (["layers=keep", "layers=fp4.25"], 3, "rule 'layers=fp4.25' is never reached: "
         "'layers=keep' comes first for 'model.layers.0.input_layernorm.weight'"),
        (["bias=fp4.25"], 3, "rule 'bias=fp4.25' matches nothing that can be quantised: "
         "'model.layers.1.mlp.up_proj.bias' is 1-D"),
    ],
)  # fmt: skip
def test_rules(refused, tmp_path, rules, code, sentence):
    make_model(tmp_path / "model")
    options = [word for rule in rules for word in ("--rule", rule)]
    assert refused("quantize", "model", "out", *options) == (code, sentence)


@pytest.mark.parametrize(
    ("argv", "code", "sentence"),
    [
        ("quantize model model", 4, "model is the source itself: choose another output"),
        ("quantize model full", 4, "full is not empty: choose another directory, or "
         "--overwrite (it holds other.safetensors)"),
        ("quantize model full --overwrite", 4, "full holds other.safetensors, which would not be "
         "replaced and does not belong to the result: remove it or choose another directory"),
        ("quantize one.safetensors x.bin", 4, "x.bin: the output of one file must be named "
         "*.safetensors"),
        ("quantize one.safetensors taken.safetensors", 4, "taken.safetensors exists: choose "
         "another name, or overwrite it (--overwrite)"),
        ("quantize model taken.safetensors", 4, "taken.safetensors exists and is no directory: "
         "choose another name"),
        ("quantize nothing out", 3, "nothing does not exist"),
        ("quantize empty out", 3, "empty holds no .safetensors file"),
        ("quantize pickled out", 3, "a.bin may hold pickled weights, which can run code and are "
         "never opened: convert the checkpoint to safetensors first"),
        ("quantize two out", 3, "two holds 2 .safetensors files but no "
         "model.safetensors.index.json, which says what belongs together"),
        ("quantize model out --threads 0", 3, "threads must be a positive whole number or None, "
         "found 0"),
        ("quantize model out --scale-block 0", 3, "scale_block must be a positive number of "
         "columns, found 0"),
        ("dequantize model out", 3, "model holds no tensors that amssim packed: nothing to "
         "dequantise"),
        ("verify model", 3, "model holds no tensors that amssim packed: nothing to verify"),
        ("verify one.txt", 3, "one.txt: expected a .safetensors file or a directory of them"),
        ("inspect", 3, "nothing to inspect: give a PATH, or a scheme with --layout"),
        ("inspect nothing", 3, "nothing does not exist"),
    ],
)  # fmt: skip
def test_paths_and_options(refused, tmp_path, argv, code, sentence):
    make_model(tmp_path / "model")
    for name in ("full", "empty", "pickled", "two"):
        (tmp_path / name).mkdir()
    for name in ("full/other.safetensors", "taken.safetensors", "pickled/a.bin", "one.txt",
                 "two/a.safetensors", "two/b.safetensors"):  # fmt: skip
        (tmp_path / name).write_text("x")
    write_tensors(tmp_path / "one.safetensors", {"a.weight": weights(2, 3)})
    before = sorted(tmp_path.rglob("*"))
    assert refused(*argv.split()) == (code, sentence)
    assert sorted(tmp_path.rglob("*")) == before


def test_the_wrong_source(refused, tmp_path, capsys):
    make_model(tmp_path / "model")
    assert main(["quantize", "model", "out"]) == 0
    capsys.readouterr()
    folder("other", {"a.weight": weights(2, 3)})
    assert refused("verify", "out", "--source", "other") == (
        1,
        "only other holds the tensor 'a.weight': not its source",
    )
    assert refused("verify", "out", "--source", "nothing") == (3, "nothing does not exist")
    assert refused("quantize", "out", "again") == (
        3,
        f"out is quantised already (quant_method 'ams' in config.json): {ALREADY}",
    )


KEYS = {
    "quantize": "schema target written source output_bytes peak_memory_bytes resumed files_copied "
    "files_left_out remarks weights nbytes coverage effective_bits effective_bits_quantized "
    "tensors",
    "inspect": "schema path written_by files remarks weights nbytes coverage effective_bits "
    "effective_bits_quantized tensors",
    "verify": "schema path tensors packed_tensors checked_bytes peak_memory_bytes sealed "
    "covered_by_checksums covered_by_seal not_covered source error error_by_tensor",
}


def test_the_keys_of_json_and_their_order(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    make_model(tmp_path / "model")
    for argv in (
        "quantize model out",
        "inspect out",
        "verify out --source model",
        "dequantize out plain",
    ):
        assert main([*argv.split(), "--json"]) == 0
        answer = json.loads(capsys.readouterr().out)
        verb = argv.split()[0].removeprefix("de")
        assert list(answer) == KEYS[verb].split()
        for tensor in answer["tensors"] if verb != "verify" else ():
            assert list(tensor) == ["name", "shape", "stored_as", "quantized", "reason", "nbytes"]
