"""Configurations: the numbers read, the rotary variants, and what is refused."""

import ml_dtypes
import numpy as np
import pytest

import tiny_llama
from amssim.errors import FormatError, InputError, UnsupportedError
from amssim.lm.config import LlamaConfig
from amssim.lm.load import linear_weights, load_model
from amssim.lm.rotary import Rotary

LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 256,
}


def config(**changed):
    return LlamaConfig.of(tiny_llama.CONFIG | changed)


def test_defaults_of_older_checkpoints():
    old = {k: v for k, v in tiny_llama.CONFIG.items() if k not in ("head_dim", "rope_theta")}
    found = LlamaConfig.of(old | {"num_key_value_heads": None})
    assert (found.head_dim, found.num_key_value_heads) == (8, 4)
    assert found.rope == Rotary("default", 10000.0)


def test_linear_rope_divides_and_default_does_not():
    plain = config().inverse_frequencies()
    assert np.allclose(plain, 10000.0 ** (-np.arange(4) / 4))
    scaled = config(rope_scaling={"type": "linear", "factor": 4.0}).inverse_frequencies()
    assert np.allclose(scaled, plain / 4)


def test_llama3_rope_keeps_short_and_stretches_long_wavelengths():
    plain, scaled = config(head_dim=64), config(head_dim=64, rope_scaling=LLAMA3)
    ratio = scaled.inverse_frequencies() / plain.inverse_frequencies()
    wavelength = 2 * np.pi / plain.inverse_frequencies()
    assert np.allclose(ratio[wavelength < 256 / 4], 1)
    assert np.allclose(ratio[wavelength > 256], 1 / 8)
    between = (wavelength > 64) & (wavelength < 256)
    smooth = (256 / wavelength[between] - 1) / 3
    assert between.any() and np.allclose(ratio[between], (1 - smooth) / 8 + smooth)


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"model_type": "gpt2"}, UnsupportedError, "model_type 'gpt2'.*Llama architecture only"),
        ({"hidden_act": "gelu"}, UnsupportedError, "hidden_act 'gelu'"),
        ({"rope_scaling": {"rope_type": "yarn"}}, UnsupportedError, "embedding 'yarn'"),
        ({"hidden_size": 0}, FormatError, "hidden_size = 0: expected a positive"),
        ({"vocab_size": None}, FormatError, "vocab_size = None"),
        ({"num_key_value_heads": 3}, FormatError, "4 heads over 3 key-value heads"),
        ({"num_key_value_heads": "2"}, FormatError, "num_key_value_heads = '2': expected"),
        ({"head_dim": 7}, FormatError, "heads of 7"),
        ({"head_dim": -8}, FormatError, "head_dim = -8: expected a positive whole number"),
        ({"num_hidden_layers": True}, FormatError, "num_hidden_layers = True"),
        ({"rms_norm_eps": "small"}, FormatError, "rms_norm_eps = 'small': expected a positive"),
        ({"rope_theta": 0}, FormatError, "rope_theta = 0: expected a positive number"),
        ({"rope_scaling": "llama3"}, FormatError, "rotary embedding 'llama3': expected named"),
        ({"rope_scaling": {"type": "linear"}}, FormatError, "factor = None: expected a positive"),
        ({"rope_scaling": LLAMA3 | {"low_freq_factor": None}}, FormatError, "low_freq_factor = N"),
        ({"rope_scaling": LLAMA3 | {"low_freq_factor": 4}}, FormatError, "expected less than"),
        ({"tie_word_embeddings": "yes"}, FormatError, "'yes': expected true or false"),
        ({"partial_rotary_factor": 0.5}, UnsupportedError, "partial_rotary_factor = 0.5"),
    ],
)
def test_refused_configurations(changed, error, message):
    with pytest.raises(error, match=message):
        config(**changed)


def test_a_missing_or_broken_config_file(tmp_path):
    with pytest.raises(FormatError, match=r"config.json (is not JSON|does not exist)"):
        load_model(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(FormatError, match=r"config.json (is not JSON|cannot be read)"):
        load_model(tmp_path)


def test_configurations_that_are_no_configurations(tmp_path):
    with pytest.raises(InputError, match=r"none is no directory: a language model is one"):
        load_model(tmp_path / "none")
    with pytest.raises(FormatError, match="config holds a list"):
        LlamaConfig.of([1])


def test_a_bias_that_the_config_asks_for_and_more_layers_than_there_are(tmp_path):
    name = "model.layers.0.self_attn.q_proj.bias"
    tiny_llama.write(tmp_path, attention_bias=True, drop=[name])
    with pytest.raises(FormatError, match=f"no tensor '{name}'"):
        load_model(tmp_path)
    tiny_llama.write(tmp_path)
    text = (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").write_text(text.replace('layers": 2', 'layers": 1000000000000'))
    with pytest.raises(FormatError, match=r"no tensor 'model\.layers\.2\."):
        load_model(tmp_path)


def test_sliding_windows_that_are_on():
    assert config(model_type="mistral", sliding_window=64).attention_window == 64
    assert config(model_type="mistral", sliding_window=None).attention_window is None
    assert config(model_type="qwen2", sliding_window=64).attention_window is None
    on = {"use_sliding_window": True, "sliding_window": 64}
    assert config(model_type="qwen2", **on).attention_window == 64


def test_tensors_that_contradict_the_config(tmp_path):
    name = "model.layers.1.mlp.up_proj.weight"
    tiny_llama.write(tmp_path, drop=[name])
    with pytest.raises(FormatError, match=f"no tensor '{name}'"):
        load_model(tmp_path)
    tiny_llama.write(tmp_path, {name: np.ones((3, 32), ml_dtypes.bfloat16)})
    with pytest.raises(FormatError, match=r"is \[3, 32\].*asks for \[48, 32\]"):
        load_model(tmp_path)


def test_every_linear_weight_is_in_the_checkpoint(tmp_path):
    model = load_model(tiny_llama.write(tmp_path))
    names = linear_weights(model.config)
    assert len(names) == 14 and set(names) <= set(model.weights)
