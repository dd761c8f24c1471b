"""Decode steps: the shapes of known models, sums, and configs that are refused."""

import json

import pytest

from amssim.errors import FormatError, InputError, UnsupportedError
from amssim.simulator import predict_decode, predict_latency
from amssim.simulator.models import model_of, models


def test_known_sizes():
    llama = model_of("llama-3.1-8b")
    weights = llama.layers * sum(m * k for m, k in llama.linears.values())
    embeddings = 2 * llama.vocabulary * llama.hidden
    assert (weights + embeddings) / 1e9 == pytest.approx(8.03, abs=0.01)
    sizes = {"llama-3.1-70b": 70.6, "qwen3-8b": 8.2, "qwen3-32b": 32.8, "reference-27m": 0.0273}
    for name, billions in sizes.items():
        m = model_of(name)
        per_layer = m.layers * sum(a * b for a, b in m.linears.values())
        tied = 1 if name == "reference-27m" else 2
        total = per_layer + tied * m.vocabulary * m.hidden
        assert total / 1e9 == pytest.approx(billions, rel=0.01), name


def test_preset_is_the_reference_models_own_config(reference_model):
    ours, preset = model_of(reference_model), model_of("reference-27m")
    assert ours.linears == preset.linears and ours.head == preset.head
    assert model_of(reference_model / "config.json") == ours


def test_parts_add_up():
    step = predict_decode("llama-3.1-8b", 4.25, context=4096)
    assert step.seconds == pytest.approx(sum(p.seconds for p in step.parts))
    by_name = {p.name: p for p in step.parts}
    one = predict_latency(4.25, shape=(28672, 4096))
    assert by_name["gate_up"].seconds == pytest.approx(32 * one.seconds)
    assert by_name["lm_head"].latency.question.kernel.name == "cublas_fp16"
    kv_bytes = 2 * 4096 * 8 * 128 * 2
    assert by_name["attention"].seconds > 32 * kv_bytes / 4.8e12
    assert "tokens/s" in str(step) and json.dumps(step.as_dict())


def test_what_makes_a_step_longer():
    base = predict_decode("qwen3-8b", 5.33)
    assert predict_decode("qwen3-8b", None).seconds > base.seconds
    assert predict_decode("qwen3-8b", 5.33, context=100_000).seconds > base.seconds
    assert predict_decode("qwen3-8b", 5.33, graph=False).seconds > base.seconds
    long = {"context": 100_000, "batch": 8}
    light = predict_decode("qwen3-8b", 5.33, kv_bits=4, **long)
    assert light.seconds < predict_decode("qwen3-8b", 5.33, kv_bits=16, **long).seconds
    many = predict_decode("qwen3-8b", 5.33, batch=8)
    assert many.tokens_per_s > base.tokens_per_s


def test_fp16_step_is_near_the_bandwidth_bound():
    # 15 GB of weights at 4.8 TB/s cannot take less than 3.1 ms; launches and latency come on top
    assert 3.1e-3 < predict_decode("llama-3.1-8b", None, context=0).seconds < 5.5e-3


@pytest.fixture
def config(tmp_path):
    def write(**changes):
        plain = {
            "hidden_size": 512,
            "intermediate_size": 1024,
            "num_hidden_layers": 2,
            "num_attention_heads": 8,
            "vocab_size": 1000,
        }
        plain = {k: v for k, v in (plain | changes).items() if v is not None}
        path = tmp_path / "config.json"
        path.write_text(json.dumps(plain))
        return path

    return write


def test_optional_fields_have_the_usual_defaults(config):
    found = model_of(config())
    assert found.kv_heads == 8 and found.head_size == 64
    assert model_of(config(text_config={**json.loads(config().read_text())})) == found


def test_configs_that_are_refused(config, tmp_path):
    with pytest.raises(FormatError, match="has no vocab_size"):
        model_of(config(vocab_size=None))
    with pytest.raises(FormatError, match="hidden_size is 500, expected a multiple of the 8 heads"):
        model_of(config(hidden_size=500))
    with pytest.raises(FormatError, match="heads is 8, expected a multiple of the 3 kv heads"):
        model_of(config(num_key_value_heads=3))
    with pytest.raises(FormatError, match="found int"):
        model_of(config(text_config=5))
    with pytest.raises(UnsupportedError, match="num_local_experts is 8"):
        model_of(config(num_local_experts=8))
    with pytest.raises(InputError, match=r"unknown model 'gpt-5': choose one of .*llama-3.1-8b"):
        model_of("gpt-5")
    bad = tmp_path / "list.json"
    bad.write_text("[]")
    with pytest.raises(FormatError, match="found list"):
        model_of(bad)
    bad.write_text("{")
    with pytest.raises(FormatError, match="is not JSON"):
        model_of(bad)


SIZES = ["hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"]
SIZES += ["vocab_size", "num_key_value_heads", "head_dim"]


@pytest.mark.parametrize("key", SIZES)
@pytest.mark.parametrize("value", [0, -1, 1.5, "512", [1], True, float("nan"), 10**30], ids=str)
def test_a_size_of_a_config_is_a_whole_number(config, key, value):
    with pytest.raises(FormatError, match=f"config.json: {key} is .*, expected a whole number"):
        model_of(config(**{key: value}))


def test_bad_options():
    for bad in (None, 5):
        with pytest.raises(InputError, match=f"a model is a preset's name.*found {bad}"):
            predict_decode(bad)
    with pytest.raises(InputError, match=r"kv_bits is 16.0, expected one of"):
        predict_decode(kv_bits=16.0)
    assert models()
    with pytest.raises(InputError, match="kv_bits is 3, expected one of 4, 8, 16"):
        predict_decode(kv_bits=3)
    with pytest.raises(InputError, match="context is -1"):
        predict_decode(context=-1)
    with pytest.raises(InputError, match="batch is 0"):
        predict_decode(batch=0)
