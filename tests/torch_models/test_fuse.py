"""`fuse_`: one product in place of several, the same results and the same files."""

import copy
import pickle

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
from torch import nn  # noqa: E402

from amssim.torch import AmsLinear, fuse_, quantize_  # noqa: E402
from amssim.torch.fuse import FusedLinear, FusedPart  # noqa: E402
from torch_models.tiny import CONFIG, llama, prompt  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
MODELS = {
    "llama": ("LlamaConfig", "LlamaForCausalLM"),
    "mistral": ("MistralConfig", "MistralForCausalLM"),
    "qwen2": ("Qwen2Config", "Qwen2ForCausalLM"),
    "qwen3": ("Qwen3Config", "Qwen3ForCausalLM"),
}


def built(kind):
    config, model = (getattr(transformers, name) for name in MODELS[kind])
    torch.manual_seed(0)
    sizes = {k: v for k, v in CONFIG.items() if k not in ("mlp_bias", "attention_bias")}
    return model(config(**sizes)).eval()


def modules(model, kind):
    return [m for m in model.modules() if type(m) is kind]


def close(one, other):
    """Whether logits agree: PyTorch adds views in another order than what lies in one piece."""
    return torch.allclose(one, other, rtol=1e-4, atol=1e-5)


def equal_states(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert value.dtype == other[name].dtype, name
        assert value.numpy().tobytes() == other[name].numpy().tobytes(), name


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("scheme", ["fp5.33", "fp4.25"])
def test_products_are_the_same_bit_for_bit(kind, scheme):
    apart = quantize_(built(kind), scheme)
    fused = fuse_(copy.deepcopy(apart))
    assert len(modules(fused, FusedLinear)) == 4  # two in each of two layers
    assert len(modules(fused, AmsLinear)) == 4  # o and down
    for name, layer in apart.named_modules():
        if type(layer) is AmsLinear:
            x = torch.randn(2, 5, layer.in_features)
            assert torch.equal(fused.get_submodule(name)(x), layer(x)), name
    assert close(apart(prompt(2)).logits, fused(prompt(2)).logits)


def test_the_state_is_that_of_the_parts_and_loads_both_ways():
    apart = quantize_(llama(), "fp5.33")
    fused = fuse_(copy.deepcopy(apart))
    equal_states(apart.state_dict(), fused.state_dict())
    other = quantize_(llama(seed=1), "fp5.33")
    into_fused = fuse_(copy.deepcopy(other))
    into_fused.load_state_dict(apart.state_dict())
    other.load_state_dict(fused.state_dict())
    for loaded in (into_fused, other):
        equal_states(apart.state_dict(), loaded.state_dict())
        assert close(apart(prompt()).logits, loaded(prompt()).logits)


def test_saved_files_are_those_of_the_parts(tmp_path):
    apart = quantize_(llama(), "fp4.25", rules=["down_proj=fp6-e2m3"])
    apart.save_pretrained(tmp_path / "apart")
    fuse_(apart).save_pretrained(tmp_path / "fused")
    for name in ("model.safetensors", "config.json"):
        assert (tmp_path / "fused" / name).read_bytes() == (tmp_path / "apart" / name).read_bytes()
    loaded = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "fused")
    assert close(apart(prompt()).logits, loaded(prompt()).logits)


def test_it_is_copied_pickled_and_cast_as_one():
    fused = fuse_(quantize_(llama(), "fp5.33"))
    expected = fused(prompt()).logits.detach()
    for other in (copy.deepcopy(fused), pickle.loads(pickle.dumps(fused))):
        other.model.layers[0].self_attn.qkv_proj.weight_scale.data.mul_(1.0)
        assert other.model.layers[0].self_attn.q_proj.whole is (
            other.model.layers[0].self_attn.qkv_proj
        )
        assert torch.equal(other(prompt()).logits, expected)
    half = copy.deepcopy(fused).to(torch.bfloat16)
    assert half.model.layers[0].self_attn.qkv_proj.weight_scale.dtype == torch.float32
    assert half(prompt()).logits.dtype == torch.bfloat16


def test_it_compiles_without_a_break_and_keeps_nothing():
    fused = fuse_(quantize_(llama(num_hidden_layers=1), "fp5.33"))
    step = torch.compile(lambda ids: fused(ids, use_cache=False).logits, fullgraph=True)
    with torch.no_grad():
        expected = fused(prompt(), use_cache=False).logits
        assert torch.allclose(step(prompt()), expected, atol=1e-5)
    assert all(module._kept is None for module in modules(fused, FusedLinear))


def test_any_order_and_any_input_is_right():
    mlp = quantize_(nn.ModuleDict({n: nn.Linear(56, 8) for n in ("gate_proj", "up_proj")}))
    gate, up = copy.deepcopy(mlp).values()
    fuse_(mlp)
    x, z = torch.randn(3, 56), torch.randn(3, 56)
    for asked in ("gate x, up x", "up x, gate x", "up x, up z, up x", "gate x, up z, gate z"):
        for name, value in (pair.split() for pair in asked.split(", ")):
            part, own = (mlp.gate_proj, gate) if name == "gate" else (mlp.up_proj, up)
            of = x if value == "x" else z
            assert torch.equal(part(of), own(of)), asked


def test_x_that_was_changed_in_place_is_multiplied_anew():
    mlp = fuse_(quantize_(nn.ModuleDict({n: nn.Linear(56, 8) for n in ("gate_proj", "up_proj")})))
    x = torch.randn(3, 56)
    mlp.gate_proj(x)
    x.mul_(2)
    assert torch.equal(mlp.gate_proj(x), mlp.gate_proj(x.clone()))


@pytest.mark.parametrize("rule", ["q_proj=fp4.25", "k_proj=keep"])
def test_parts_that_differ_stay_apart(rule):
    model = fuse_(quantize_(llama(), "fp5.33", rules=[rule]))
    attention = model.model.layers[0].self_attn
    assert not hasattr(attention, "qkv_proj")
    assert type(attention.v_proj) is AmsLinear
    assert type(model.model.layers[0].mlp.up_proj) is FusedPart


def test_twice_is_once_and_a_float_model_stays():
    fused = fuse_(fuse_(quantize_(llama())))
    assert len(modules(fused, FusedLinear)) == 4
    model = llama()
    names = [name for name, _ in model.named_modules()]
    assert [name for name, _ in fuse_(model).named_modules()] == names


def test_a_part_answers_what_a_layer_does():
    model = quantize_(llama())
    layer = copy.deepcopy(model.model.layers[0].self_attn.k_proj)
    part = fuse_(model).model.layers[0].self_attn.k_proj
    assert part.packed() == layer.packed()
    assert (part.scheme, part.scale_block) == (layer.scheme, layer.scale_block)
    assert (part.in_features, part.out_features) == (layer.in_features, layer.out_features)
    assert torch.equal(part.bias, layer.bias)
    assert part.weight.dtype == torch.float32
