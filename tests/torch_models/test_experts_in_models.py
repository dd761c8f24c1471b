"""Mixtures of experts through transformers: loaded, quantised, run, saved and refused."""

import copy
import json
import pickle
import warnings

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

import amssim  # noqa: E402
from amssim.checkpoint import seal_checkpoint  # noqa: E402
from amssim.torch import (  # noqa: E402
    AmsConfig,
    AmsExperts,
    AmsLinear,
    quantize_,
    storage,
)
from torch_models import tiny  # noqa: E402

Causal = transformers.AutoModelForCausalLM

# Each model with a scheme, the rules for names in its files, and the same for names in the model.
MODELS = {
    "qwen3": (tiny.qwen3_moe, {}, {}),
    "qwen3 mixed": (
        tiny.qwen3_moe,
        {"rules": ["experts.*down_proj=fp4.25", r"layers\.1\.mlp\.experts=keep"]},
        {"rules": ["experts.*down_proj=fp4.25", r"layers\.1\.mlp\.experts=keep"]},
    ),
    "qwen2 blocks": (tiny.qwen2_moe, {"scale_block": 24}, {"scale_block": 24}),
    "mixtral": (tiny.mixtral, {"rules": [r"\.w2\.=keep"]}, {"rules": ["down_proj=keep"]}),
}


@pytest.fixture(scope="module", params=MODELS)
def case(request, tmp_path_factory):
    """A packed checkpoint, the same dequantised, its source, and what to quantise it by."""
    path = tmp_path_factory.mktemp("experts")
    make, in_files, in_model = MODELS[request.param]
    source = tiny.saved(make(), path / "float")
    amssim.quantize_checkpoint(source, path / "packed", "fp5.33", **in_files)
    amssim.dequantize_checkpoint(path / "packed", path / "plain", "float32")
    return path, AmsConfig("fp5.33", **in_model)


def loaded(path, **options):
    return Causal.from_pretrained(path, dtype=torch.float32, **options)


def experts_of(model):
    return [m for m in model.modules() if isinstance(m, AmsExperts)]


def logits(model, batch=3):
    with torch.no_grad():
        return model(tiny.prompt(batch)).logits


def tokens(model, **options):
    with torch.no_grad():
        return model.generate(tiny.prompt(), max_new_tokens=8, do_sample=False, **options)


def assert_same_state(model, expected):
    state = model.state_dict()
    assert state.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(state[name], value), name


def test_logits_and_tokens_are_those_of_the_dequantised_model(case):
    path, _ = case
    model = loaded(path / "packed")
    # the grouped product of PyTorch takes no rows of 50 or 100 columns
    reference = loaded(path / "plain", experts_implementation="eager")
    assert experts_of(model)
    torch.testing.assert_close(logits(model), logits(reference), atol=1e-4, rtol=1e-4)
    assert torch.equal(tokens(model), tokens(reference))


def test_quantising_in_a_model_gives_the_bits_of_the_command(case):
    path, config = case
    stored = Causal.from_pretrained(path / "packed").state_dict()
    while_loading = Causal.from_pretrained(path / "float", quantization_config=config)
    in_place = quantize_(
        Causal.from_pretrained(path / "float"), config.scheme,
        scale_block=config.scale_block, rules=config.rules,
    )  # fmt: skip
    for model in (while_loading, in_place):
        assert_same_state(model, stored)


@pytest.mark.parametrize("how", ["packed", "while loading", "in place"])
def test_saved_it_is_what_the_command_writes(case, how, tmp_path):
    path, config = case
    if how == "packed":
        model = Causal.from_pretrained(path / "packed")
    elif how == "while loading":
        model = Causal.from_pretrained(path / "float", quantization_config=config)
    else:
        model = quantize_(
            Causal.from_pretrained(path / "float"), config.scheme,
            scale_block=config.scale_block, rules=config.rules,
        )  # fmt: skip
    model.save_pretrained(tmp_path / "saved", max_shard_size="80KB")
    saved, written = (amssim.open_checkpoint(p) for p in (tmp_path / "saved", path / "packed"))
    assert sorted(saved) == sorted(written)
    for name, tensor in written.items():
        if isinstance(tensor, amssim.PackedTensor):
            assert saved[name] == tensor
    assert_same_state(Causal.from_pretrained(tmp_path / "saved"), model.state_dict())
    seal_checkpoint(tmp_path / "saved")
    assert_same_state(Causal.from_pretrained(tmp_path / "saved"), model.state_dict())


def test_each_weight_has_its_own_scheme_or_none():
    options = {"rules": ["down_proj=fp4.25", r"layers\.1.*gate_up_proj=keep"]}
    first, second = experts_of(quantize_(tiny.qwen3_moe(), "fp5.33", **options))
    schemes = {name: form.matrix.scheme for name, form in first.forms.items()}
    assert schemes == {"gate_up_proj": "fp5.33-e2m3", "down_proj": "fp4.25-e2m2"}
    assert list(second.forms) == ["down_proj"]
    assert second.gate_up_proj.shape == (5, 100, 56)


def test_routers_and_shared_experts_are_as_rules_say():
    block = quantize_(tiny.qwen2_moe(), "fp5.33").model.layers[0].mlp
    assert block.gate.weight.dtype == torch.float32
    assert type(block.shared_expert_gate) is torch.nn.Linear
    assert type(block.shared_expert.up_proj) is AmsLinear
    assert type(block.experts) is AmsExperts


def test_experts_are_packed_as_rows_are():
    model = tiny.qwen3_moe()
    weight = model.model.layers[0].mlp.experts.gate_up_proj.detach().numpy()
    experts = experts_of(quantize_(model, "fp4.25"))[0]
    assert experts.packed("gate_up_proj") == amssim.quantize(weight.reshape(500, 56), "fp4.25")


def test_each_expert_is_arranged_apart_with_all_that_its_device_reads(monkeypatch):
    """By a device whose order has tails and scales of its own, as on GPUs."""
    experts = experts_of(quantize_(tiny.qwen3_moe(), "fp4.25"))[0]
    state, seen = experts.state_dict(), []

    def arrange(stored, form):
        seen.append(stored.words.shape)
        words = stored.words.view(torch.int16).to(torch.int32).flip(0)
        return storage.Arranged(words[:, 1:], words[:, :1], stored.scales.T.contiguous())

    def back_to_stored(arranged, form):
        words = torch.cat([arranged.tails, arranged.words], 1).flip(0).to(torch.int16)
        return storage.Stored(words.view(torch.uint16), arranged.scales.T)

    monkeypatch.setattr(storage, "is_arranged", lambda *_: True)
    monkeypatch.setattr(storage, "arrange", arrange)
    monkeypatch.setattr(storage, "back_to_stored", back_to_stored)
    experts.arrange_()
    assert seen == [(100, 17)] * 5 + [(56, 17)] * 5
    assert experts.gate_up_proj_packed is None
    shapes = [tuple(part.shape) for part in experts.weights("down_proj")]
    assert shapes == [(5, 56, 16), (5, 56, 1), (5, 1, 56)]
    assert_same_state(experts, state)
    assert_same_state(copy.deepcopy(experts), state)


class TestOneModule:
    """`AmsExperts` as a module like any other."""

    @pytest.fixture(params=["fp5.33", "fp4.25"])
    def experts(self, request):
        return experts_of(quantize_(tiny.qwen3_moe(), request.param))[0]

    @staticmethod
    def inputs():
        generator = torch.Generator().manual_seed(1)
        x = torch.randn(9, 56, generator=generator)
        index = torch.randint(0, 5, (9, 2), generator=generator)
        return x, index, torch.rand(9, 2, generator=generator)

    @staticmethod
    def exact(experts, x, index, weights):
        """Token by token in float64, from what the specification decodes."""
        up, down = (
            torch.from_numpy(experts.packed(n).dequantize("float64")).unflatten(0, (5, -1))
            for n in ("gate_up_proj", "down_proj")
        )
        out = torch.zeros_like(x, dtype=torch.float64)
        for t, (row, numbers) in enumerate(zip(x.double(), index.tolist(), strict=True)):
            for k, e in enumerate(numbers):
                if 0 <= e < 5:
                    gate, value = (up[e] @ row).chunk(2)
                    y = down[e] @ (torch.nn.functional.silu(gate) * value)
                    out[t] += y * weights[t, k].double()
        return out

    def test_products_are_exact_and_numbers_of_no_expert_count_as_nothing(self, experts):
        x, index, weights = self.inputs()
        index[0, 0], index[3] = -1, 5
        found = experts(x, index, weights)
        expected = self.exact(experts, x, index, weights)
        assert (found[3] == 0).all()
        torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=1e-5)

    @pytest.mark.parametrize(
        "how", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m)), lambda m: m.to("cpu")]
    )
    def test_copies_hold_the_same_weights(self, experts, how):
        before, state = experts(*self.inputs()), experts.state_dict()
        made = how(experts)
        assert_same_state(made, state)
        assert_same_state(experts, state)
        assert torch.equal(made(*self.inputs()), before)

    def test_a_change_of_dtype_leaves_scales_alone(self, experts):
        state = experts.state_dict()
        assert_same_state(experts.to(torch.bfloat16), state)
        x, index, weights = self.inputs()
        assert experts(x.bfloat16(), index, weights).dtype == torch.bfloat16

    def test_state_is_three_tensors_of_each_weight_and_loads(self, experts):
        state = experts.state_dict()
        assert state["gate_up_proj_packed"].dtype == torch.uint16
        assert state["gate_up_proj_scale"].shape == (5, 100, 1)
        assert state["gate_up_proj_shape"].tolist() == [[50, 56, 50, 56]] * 5
        assert state["down_proj_shape"].tolist() == [[56, 50]] * 5
        other = experts_of(quantize_(tiny.qwen3_moe(), experts.forms["down_proj"].matrix.scheme))[1]
        other.load_state_dict(state | {"down_proj_scale": state["down_proj_scale"][..., 0]})
        assert_same_state(other, state)

    def test_words_of_another_dtype_are_refused(self, experts):
        state = experts.state_dict()
        state["down_proj_packed"] = state["down_proj_packed"].to(torch.int32)
        with pytest.raises(amssim.FormatError, match=r"down_proj_packed is torch.int32, expected"):
            experts.load_state_dict(state)

    def test_gradients_of_x_and_routing_are_those_of_the_decoded_weights(self, experts):
        x, index, weights = self.inputs()
        a, b = (t.clone().requires_grad_() for t in (x, weights))
        c, d = (t.clone().requires_grad_() for t in (x, weights))
        experts(a, index, b).square().sum().backward()
        self.exact(experts, c, index, d).square().sum().backward()
        torch.testing.assert_close(a.grad, c.grad, atol=1e-3, rtol=1e-3)
        torch.testing.assert_close(b.grad, d.grad, atol=1e-3, rtol=1e-3)


def test_compiled_it_breaks_at_the_experts_once_and_for_all():
    block = quantize_(tiny.qwen3_moe(), "fp5.33").model.layers[0].mlp
    graphs = []
    compiled = torch.compile(block, backend=lambda graph, _: graphs.append(graph) or graph.forward)
    for seed in (1, 2):  # other tokens, other experts, no other graphs
        x = torch.randn(1, 7, 56, generator=torch.Generator().manual_seed(seed))
        with torch.no_grad():
            assert torch.equal(compiled(x), block(x))
        assert len(graphs) == 2


def test_whole_it_does_not_compile_and_says_why():
    block = quantize_(tiny.qwen3_moe(), "fp5.33").model.layers[0].mlp
    with pytest.raises(Exception, match="which experts are hit is known only when it runs"):
        torch.compile(block, backend="eager", fullgraph=True)(torch.ones(1, 3, 56))


@pytest.fixture(scope="module")
def stacked(tmp_path_factory):
    """A checkpoint that holds all experts of a layer as one tensor."""
    path = tmp_path_factory.mktemp("stacked")
    model = tiny.qwen3_moe().to(torch.bfloat16)
    model.save_pretrained(path / "float", save_original_format=False)
    amssim.quantize_checkpoint(path / "float", path / "packed", "fp5.33")
    amssim.dequantize_checkpoint(path / "packed", path / "plain", "float32")
    return path


def test_experts_that_are_stored_as_one_tensor_load_and_are_saved_so(stacked, tmp_path):
    model = loaded(stacked / "packed")
    reference = loaded(stacked / "plain", experts_implementation="eager")
    torch.testing.assert_close(logits(model), logits(reference), atol=1e-4, rtol=1e-4)
    config = AmsConfig("fp5.33")
    fresh = Causal.from_pretrained(stacked / "float", quantization_config=config)
    assert_same_state(fresh, Causal.from_pretrained(stacked / "packed").state_dict())
    assert experts_of(fresh)[0].down_proj_shape.tolist() == [5, 56, 50]
    for i, made in enumerate((model, fresh)):
        made.save_pretrained(tmp_path / str(i))
        saved, written = (
            amssim.open_checkpoint(p) for p in (tmp_path / str(i), stacked / "packed")
        )
        name = "model.layers.1.mlp.experts.gate_up_proj"
        assert saved[name] == written[name]
        assert_same_state(loaded(tmp_path / str(i)), loaded(stacked / "packed").state_dict())


def granite():
    config = transformers.GraniteMoeConfig(
        num_local_experts=4, intermediate_size=50,
        **{k: v for k, v in tiny.EXPERTS.items() if k != "head_dim"},
    )  # fmt: skip
    return tiny._random(transformers.GraniteMoeForCausalLM, config)


def test_renamed_stacks_load_and_are_saved_under_the_names_of_their_files(tmp_path):
    tiny.saved(granite(), tmp_path / "float")
    rules = ["(input|output)_linear=fp5.33"]
    amssim.quantize_checkpoint(tmp_path / "float", tmp_path / "packed", "fp5.33", rules=rules)
    model = Causal.from_pretrained(tmp_path / "packed")
    fresh = Causal.from_pretrained(tmp_path / "float", quantization_config=AmsConfig("fp5.33"))
    assert len(experts_of(model)) == 2
    assert_same_state(fresh, model.state_dict())
    fresh.save_pretrained(tmp_path / "saved")
    assert_same_state(Causal.from_pretrained(tmp_path / "saved"), model.state_dict())


def gpt_oss():
    config = transformers.GptOssConfig(num_local_experts=4, intermediate_size=50, **tiny.EXPERTS)
    return tiny._random(transformers.GptOssForCausalLM, config)


def llama4():
    config = transformers.Llama4TextConfig(
        num_local_experts=4, intermediate_size=48, intermediate_size_mlp=48, **tiny.EXPERTS
    )
    return tiny._random(transformers.Llama4ForCausalLM, config)


@pytest.mark.parametrize("make", [gpt_oss, llama4])
class TestExpertsWhoseLastDimensionIsTheOutput:
    """Refused by name, kept where nobody asked for them."""

    said = r"the last dimension of its experts is the output.*\((GptOss|Llama4Text)Experts\)"

    def test_loading(self, make, tmp_path):
        tiny.saved(make(), tmp_path / "float")
        amssim.quantize_checkpoint(tmp_path / "float", tmp_path / "packed", "fp5.33")
        with pytest.raises(amssim.UnsupportedError, match=rf"experts.*is packed, but {self.said}"):
            Causal.from_pretrained(tmp_path / "packed")

    def test_by_default(self, make, tmp_path):
        tiny.saved(make(), tmp_path / "float")
        with pytest.warns(UserWarning, match=f"not quantised: {self.said}"):
            model = quantize_(make(), "fp5.33")
        with pytest.warns(UserWarning, match=f"not quantised: {self.said}"):
            Causal.from_pretrained(tmp_path / "float", quantization_config=AmsConfig("fp5.33"))
        assert not experts_of(model)
        assert any(isinstance(m, AmsLinear) for m in model.modules())

    def test_by_a_rule(self, make):
        with pytest.raises(
            amssim.UnsupportedError, match=f"quantises 'model.*experts.*{self.said}"
        ):
            quantize_(make(), "fp5.33", rules=["experts=fp4.25"])


def qwen3_vl_moe():
    rope = {"rope_type": "default", "mrope_section": [2, 2, 3], "rope_theta": 1e4}
    text = {"num_experts": 4, "moe_intermediate_size": 48, "intermediate_size": 64}
    vision = {"depth": 1, "hidden_size": 32, "intermediate_size": 32, "num_heads": 2}
    config = transformers.Qwen3VLMoeConfig(
        text_config=tiny.EXPERTS | text | {"rope_parameters": rope},
        vision_config=vision | {"out_hidden_size": 56, "deepstack_visual_indexes": [0]},
    )
    return tiny._random(transformers.Qwen3VLMoeForConditionalGeneration, config)


def test_experts_that_loading_rearranges_are_refused_or_kept(tmp_path):
    model = qwen3_vl_moe()
    tiny.saved(model, tmp_path / "float")
    amssim.quantize_checkpoint(tmp_path / "float", tmp_path / "packed", "fp5.33")
    said = r"is packed, but Qwen3VLMoe\w+ rearranges it while loading: keep"
    with pytest.raises(amssim.UnsupportedError, match=said):
        type(model).from_pretrained(tmp_path / "packed")
    with pytest.warns(UserWarning, match=r"not quantised: Qwen3VLMoe\w+ rearranges its experts"):
        quantize_(model, "fp5.33")
    assert not experts_of(model)


class OtherExperts(torch.nn.Module):
    """All experts in 3-D parameters, but nothing says what is done with them."""

    def __init__(self):
        super().__init__()
        self.gate_up_proj = torch.nn.Parameter(torch.ones(2, 8, 6))
        self.down_proj = torch.nn.Parameter(torch.ones(2, 6, 4))


def test_experts_of_an_unknown_kind_are_kept():
    model = torch.nn.ModuleDict({"experts": OtherExperts(), "up": torch.nn.Linear(6, 4)})
    with pytest.warns(UserWarning, match=r"do not follow the protocol.*\(OtherExperts\)"):
        quantize_(model, "fp5.33")
    assert type(model["experts"]) is OtherExperts
    with pytest.raises(amssim.UnsupportedError, match=r"\(OtherExperts\)"):
        AmsExperts(model["experts"])


def spoiled(tmp_path, **options):
    tiny.saved(tiny.qwen3_moe(), tmp_path / "float")
    amssim.quantize_checkpoint(tmp_path / "float", tmp_path / "packed", "fp5.33", **options)
    return tmp_path / "packed"


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (r"experts\.3\.up_proj=fp4.25", r"is fp5.33-e2m3 and .*3\.up_proj.* is fp4.25-e2m2"),
        (
            r"layers\.1.*experts\.4\.up_proj=keep",
            r"is fp5.33-e2m3 and .*4\.up_proj.* is not packed",
        ),
    ],
)
def test_parts_of_one_tensor_that_are_not_packed_alike_are_refused(tmp_path, rule, said):
    path = spoiled(tmp_path, rules=[rule])
    with pytest.raises(amssim.UnsupportedError, match=f"gate_proj.weight' {said}.* merges them"):
        Causal.from_pretrained(path)


@pytest.mark.parametrize("count", [4, 6])
def test_another_number_of_experts_is_refused(tmp_path, count):
    path = spoiled(tmp_path)
    config = transformers.AutoConfig.from_pretrained(path)
    config.num_experts = count
    said = rf"holds 5 tensors .* for 'model.layers.0.mlp.experts.*', which has {count} experts"
    with pytest.raises(amssim.MismatchError, match=said):
        Causal.from_pretrained(path, config=config)


def test_experts_of_another_size_are_refused(tmp_path):
    path = spoiled(tmp_path)
    config = transformers.AutoConfig.from_pretrained(path)
    config.moe_intermediate_size = 52
    with pytest.raises(amssim.MismatchError, match=r"has the shape \[50, 56\], the model \[52, 56"):
        Causal.from_pretrained(path, config=config)


def test_missing_experts_are_refused_not_random(tmp_path):
    path = spoiled(tmp_path, rules=["experts=keep"])
    config = transformers.AutoConfig.from_pretrained(path)
    config.num_experts = 6
    with pytest.raises(amssim.MismatchError, match=r"holds 5 tensors .*which has 6 experts"):
        Causal.from_pretrained(path, config=config)


def test_a_model_without_a_head_loads_experts_too(case):
    path, _ = case
    found = transformers.AutoModel.from_pretrained(path / "packed", dtype=torch.float32)
    expected = loaded(path / "packed").model
    assert_same_state(found, expected.state_dict())


def test_config_names_the_tensors_of_files(tmp_path):
    tiny.saved(tiny.mixtral(), tmp_path / "float")
    config = AmsConfig("fp5.33", rules=["down_proj=fp4.25"])
    model = Causal.from_pretrained(tmp_path / "float", quantization_config=config)
    model.save_pretrained(tmp_path / "saved")
    stated = json.loads((tmp_path / "saved" / "config.json").read_text())
    exceptions = stated["quantization_config"]["exceptions"]
    name = "model.layers.1.block_sparse_moe.experts.3.w2.weight"
    assert exceptions[name] == {"scheme": "fp4.25-e2m2", "scale_block": None}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Causal.from_pretrained(tmp_path / "saved")
