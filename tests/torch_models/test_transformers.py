"""Checkpoints through transformers: what is loaded, generated, saved and refused."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

import transformers.quantizers.auto as quantizers  # noqa: E402

import amssim  # noqa: E402
from amssim.checkpoint import inspect_checkpoint, seal_checkpoint, verify_checkpoint  # noqa: E402
from amssim.torch import AmsConfig, AmsLinear, quantize_  # noqa: E402
from torch_models.tiny import llama, prompt  # noqa: E402

Causal = transformers.AutoModelForCausalLM


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A BF16 checkpoint of three shards."""
    path = tmp_path_factory.mktemp("float")
    llama().to(torch.bfloat16).save_pretrained(path, max_shard_size="60KB")
    return path


OPTIONS = {
    "fp5.33": {},
    "fp4.25": {},
    "mixed": {"rules": ["down_proj=fp4.25", r"layers\.0\.self_attn=keep", "lm_head=fp6-e2m3"]},
    "blocks": {"scale_block": 24},
}


@pytest.fixture(scope="module", params=OPTIONS)
def packed(request, source, tmp_path_factory):
    """What `amssim quantize` writes of it, and the same dequantised."""
    path, plain = (tmp_path_factory.mktemp("packed") / name for name in ("packed", "plain"))
    scheme = request.param if request.param.startswith("fp") else "fp5.33"
    options = OPTIONS[request.param]
    amssim.quantize_checkpoint(source, path, scheme, **options)
    amssim.dequantize_checkpoint(path, plain, "float32")
    return path, plain, AmsConfig(scheme, **options)


def generated(model, **options):
    with torch.no_grad():
        return model.generate(prompt(), max_new_tokens=12, do_sample=False, **options)


def test_logits_and_tokens_are_those_of_the_dequantised_model(packed):
    path, plain, _ = packed
    model = Causal.from_pretrained(path, dtype=torch.float32)
    reference = Causal.from_pretrained(plain, dtype=torch.float32)
    ids = prompt(3)
    torch.testing.assert_close(model(ids).logits, reference(ids).logits, atol=1e-4, rtol=1e-4)
    assert torch.equal(generated(model), generated(reference))


@pytest.fixture
def without_amssim(monkeypatch):
    """What a process that did not import amssim.torch has."""
    monkeypatch.delitem(quantizers.AUTO_QUANTIZATION_CONFIG_MAPPING, "ams")
    monkeypatch.delitem(quantizers.AUTO_QUANTIZER_MAPPING, "ams")


@pytest.mark.parametrize("loader", [Causal, transformers.AutoModel, transformers.LlamaForCausalLM])
def test_without_the_import_nothing_is_loaded(copy, without_amssim, loader):
    with pytest.raises(ValueError, match=r"packed by amssim: .* import amssim\.torch first"):
        loader.from_pretrained(copy)


@pytest.mark.parametrize("hook", ["update_tp_plan", "update_attn_implementation"])
def test_slices_are_refused_by_whatever_name_transformers_asks(hook):
    config = transformers.LlamaConfig()
    quantizer = quantizers.AUTO_QUANTIZER_MAPPING["ams"](AmsConfig())
    assert getattr(quantizer, hook)(config) is config
    config.distributed_config = object()
    with pytest.raises(amssim.UnsupportedError, match="without tp_plan or distributed_config"):
        getattr(quantizer, hook)(config)


def test_a_config_that_is_given_loads_the_same(copy):
    config = transformers.AutoConfig.from_pretrained(copy)
    models = [Causal.from_pretrained(copy, config=config) for _ in range(2)]
    assert torch.equal(generated(models[0]), generated(models[1]))


def test_the_plain_model_needs_no_import(copy, tmp_path, without_amssim):
    amssim.dequantize_checkpoint(copy, tmp_path / "plain")
    Causal.from_pretrained(tmp_path / "plain")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_in_16_bits_logits_are_near(packed, dtype):
    path, plain, _ = packed
    model = Causal.from_pretrained(path, dtype=dtype)
    expected = Causal.from_pretrained(plain, dtype=torch.float32)(prompt()).logits
    found = model(prompt()).logits.float()
    assert (found - expected).norm() < 0.02 * expected.norm()


def test_the_dtype_of_the_config_is_the_default(packed):
    model = Causal.from_pretrained(packed[0])
    assert model.dtype == torch.bfloat16
    assert model.model.layers[1].mlp.up_proj.weight_scale.dtype == torch.float32
    assert not any(p.requires_grad for m in packed_layers(model) for p in m.parameters())


def packed_layers(model):
    return [m for m in model.modules() if isinstance(m, AmsLinear)]


def test_a_model_without_a_head_loads_from_the_same_files(packed):
    path, plain, _ = packed
    model = transformers.AutoModel.from_pretrained(path, dtype=torch.float32)
    reference = transformers.AutoModel.from_pretrained(plain, dtype=torch.float32)
    found, expected = (m(prompt()).last_hidden_state for m in (model, reference))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_quantising_while_loading_gives_the_same_bits(packed, source):
    path, _, config = packed
    stored = Causal.from_pretrained(path).state_dict()
    model = Causal.from_pretrained(source, quantization_config=config)
    fresh = quantize_(Causal.from_pretrained(source), config.scheme,
                      scale_block=config.scale_block, rules=config.rules)  # fmt: skip
    for made in (model, fresh):
        state = made.state_dict()
        assert state.keys() == stored.keys()
        assert all(torch.equal(state[name], value) for name, value in stored.items())


def test_saved_again_it_loads_as_it_was(packed, tmp_path):
    model = Causal.from_pretrained(packed[0])
    model.save_pretrained(tmp_path, max_shard_size="40KB")
    again = Causal.from_pretrained(tmp_path)
    expected = model.state_dict()
    state = again.state_dict()
    assert all(torch.equal(state[name], value) for name, value in expected.items())
    assert torch.equal(generated(again), generated(model))


def same(one, two):
    return one.tobytes() == two.tobytes() if isinstance(one, np.ndarray) else one == two


@pytest.mark.parametrize("kilobytes", [0.1, 0.7, 2, 3.5, 5, 8, 13, 21, 34, 55])
def test_wherever_a_save_cuts_the_files_are_read_and_sealed(copy, tmp_path, kilobytes):
    model, original = Causal.from_pretrained(copy), amssim.open_checkpoint(copy)
    tmp_path = tmp_path / "saved"
    model.save_pretrained(tmp_path, max_shard_size=int(1000 * kilobytes))
    expected = model.state_dict()
    saved_again = amssim.open_checkpoint(tmp_path)
    for name, tensor in original.items():
        assert same(saved_again[name], tensor), name
    for seal in (False, True):
        if seal:
            assert "config.json" in seal_checkpoint(tmp_path).rewritten
            assert not inspect_checkpoint(tmp_path).remarks
            verify_checkpoint(tmp_path)
        state = Causal.from_pretrained(tmp_path).state_dict()
        assert state.keys() == expected.keys()
        assert all(torch.equal(state[name], value) for name, value in expected.items())


def test_what_was_quantised_while_loading_is_saved_with_all_that_reading_takes(source, tmp_path):
    config = AmsConfig("fp5.33", rules=["down_proj=fp4.25"])
    model = Causal.from_pretrained(source, quantization_config=config)
    model.save_pretrained(tmp_path)
    stated = json.loads((tmp_path / "config.json").read_text())
    assert stated["dtype"] == "bfloat16"
    assert stated["quantization_config"]["default"]["scheme"] == "fp5.33-e2m3"
    files = amssim.open_checkpoint(tmp_path)
    layer = model.model.layers[0].mlp.down_proj
    assert files["model.layers.0.mlp.down_proj.weight"] == layer.packed()
    assert torch.equal(generated(Causal.from_pretrained(tmp_path)), generated(model))


def test_a_static_cache_gives_the_same_tokens(packed):
    model = Causal.from_pretrained(packed[0], dtype=torch.float32)
    assert torch.equal(generated(model, cache_implementation="static"), generated(model))


@pytest.fixture
def copy(source, tmp_path):
    """A packed checkpoint that a test may spoil."""
    amssim.quantize_checkpoint(source, tmp_path / "packed", "fp5.33")
    return tmp_path / "packed"


def test_a_model_of_another_size_is_refused(copy):
    config = transformers.AutoConfig.from_pretrained(copy)
    config.intermediate_size = 104
    with pytest.raises(amssim.MismatchError, match=r"has the shape \[100, 56\], the model"):
        Causal.from_pretrained(copy, config=config)


def test_a_model_with_fewer_layers_is_refused(copy):
    config = transformers.AutoConfig.from_pretrained(copy)
    config.num_hidden_layers = 1
    with pytest.raises(amssim.MismatchError, match="belongs to no parameter of LlamaForCausalLM"):
        Causal.from_pretrained(copy, config=config)


def test_a_model_with_more_layers_is_refused_not_random(copy):
    config = transformers.AutoConfig.from_pretrained(copy)
    config.num_hidden_layers = 3
    with pytest.raises(amssim.MismatchError, match=r"no weights for 'model.layers.2.*be random"):
        Causal.from_pretrained(copy, config=config)


def test_a_missing_shard_is_refused(copy):
    next(copy.glob("model-00002*")).unlink()
    with pytest.raises((amssim.AmsError, OSError), match="model-00002"):
        Causal.from_pretrained(copy)


def test_offloading_is_refused(copy):
    parts = {"model.embed_tokens": "cpu", "model.layers": "disk", "model.norm": "cpu",
             "model.rotary_emb": "cpu", "lm_head": "cpu"}  # fmt: skip
    with pytest.raises(amssim.UnsupportedError, match="not offloaded"):
        Causal.from_pretrained(copy, device_map=parts)


def test_importing_twice_registers_once():
    import importlib

    import amssim.torch.quantizer as quantizer

    importlib.reload(quantizer)
