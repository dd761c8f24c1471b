"""`amssim generate`: text, figures, JSON, and one sentence for what does not go."""

import json

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")

import amssim  # noqa: E402
from amssim.cli import main  # noqa: E402
from torch_models.tiny import llama, saved  # noqa: E402


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A float and a packed directory with a tokenizer of single characters."""
    home = tmp_path_factory.mktemp("models")
    saved(llama(), home / "float")
    alphabet = {chr(32 + i): i for i in range(96)}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=alphabet, merges=[]))
    tokenizer.decoder = tokenizers.decoders.Fuse()
    tokenizer.save(str(home / "float" / "tokenizer.json"))
    amssim.quantize_checkpoint(home / "float", home / "packed", "fp5.33")
    amssim.dequantize_checkpoint(home / "packed", home / "plain", "float32")
    return home


def answer(capsys, *argv):
    assert main(["generate", *map(str, argv), "--device", "cpu", "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_packed_and_dequantised_models_write_the_same_text(models, capsys):
    packed = answer(capsys, models / "packed", "some text", "--tokens", "12")
    plain = answer(capsys, models / "plain", "some text", "--tokens", "12")
    assert packed["tokens"] == plain["tokens"]
    assert packed["text"] == plain["text"] == "".join(chr(32 + i) for i in packed["tokens"])
    assert packed["prompt_tokens"] == 9
    assert packed["weight_bytes"] < plain["weight_bytes"]
    assert packed["tokens_per_second"] > 0
    assert packed["schema"] == "amssim.generation/1"


def test_text_goes_to_standard_output_and_figures_to_standard_error(models, capsys):
    assert main(["generate", str(models / "packed"), "abc", "--tokens", "5"]) == 0
    out, err = capsys.readouterr()
    assert len(out.rstrip("\n")) == 5
    assert "5 tokens on CPU in float32" in err and "tokens/s" in err


def test_a_seed_gives_the_same_text_and_another_one_another(models, capsys):
    texts = [
        answer(
            capsys, models / "packed", "abc", "--tokens", 12, "--temperature", 1, "--seed", seed
        )["text"]
        for seed in (1, 1, 2)
    ]
    assert texts[0] == texts[1] != texts[2]


def test_the_environment_of_a_tokenizer_file_that_cuts_texts_is_undone(models, capsys, tmp_path):
    import shutil

    shutil.copytree(models / "float", tmp_path / "cut")
    file = tmp_path / "cut" / "tokenizer.json"
    tokenizer = tokenizers.Tokenizer.from_file(str(file))
    tokenizer.enable_truncation(4)
    tokenizer.save(str(file))
    assert answer(capsys, tmp_path / "cut", "some text", "--tokens", "1")["prompt_tokens"] == 9


REFUSED = {
    "missing {home}/nothing abc": (3, "nothing does not exist"),
    "no tokenizer {home} abc": (3, "holds no tokenizer.json"),
    "empty {home}/packed ''": (3, "the prompt has no tokens"),
    "too long {home}/packed abc --tokens 100": (3, "exceed the model's 64 positions"),
    "no tokens {home}/packed abc --tokens 0": (3, "tokens is 0"),
    "cold {home}/packed abc --temperature -1": (3, "temperature is -1.0"),
    "nan {home}/packed abc --temperature nan": (3, "temperature is nan"),
    "top {home}/packed abc --temperature 1 --top-p 0": (3, "top-p is 0.0"),
    "device {home}/packed abc --device tpu9": (3, "unknown device 'tpu9'"),
    "gpu {home}/packed abc --device cuda:64": (4, "PyTorch sees"),
}


@pytest.mark.parametrize("line", REFUSED)
def test_what_does_not_go_is_one_sentence(models, capsys, line):
    import shlex

    code, words = REFUSED[line]
    _, _, arguments = line.partition(" {home}")
    argv = shlex.split(("{home}" + arguments).format(home=models))
    assert main(["generate", *argv]) == code
    err = capsys.readouterr().err
    assert words in err and err.count("\n") == 1


def test_a_damaged_weight_is_refused(models, capsys, tmp_path):
    import shutil

    shutil.copytree(models / "packed", tmp_path / "damaged")
    file = next((tmp_path / "damaged").glob("*.safetensors"))
    content = bytearray(file.read_bytes())
    content[-100] ^= 1
    file.write_bytes(content)
    assert main(["generate", str(tmp_path / "damaged"), "abc"]) == 1
    assert "damaged" in capsys.readouterr().err
