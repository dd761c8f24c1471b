"""Packed layers on a GPU: the same weights, products, tokens; captured in graphs; a second GPU."""

import copy

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

import amssim  # noqa: E402
from amssim.torch import AmsLinear, prepare  # noqa: E402
from torch_models.test_ams_linear import FORMS, exact, packed_of  # noqa: E402
from torch_models.tiny import llama, prompt, saved  # noqa: E402

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no GPU"),
    pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning"),  # of PyTorch's compiler
]
DTYPES = [torch.float16, torch.bfloat16]
SHAPES = [*FORMS, ("fp5.33-e2m3", 1024, None), ("fp4.25-e2m2", 1024, None), ("fp4.25", 1024, 64)]


def layer_of(scheme, columns, block, rows=24, *, bias=True, dtype=torch.float16, device="cuda"):
    packed = packed_of(scheme, columns, block, rows)
    added = torch.randn(rows, generator=torch.Generator().manual_seed(2)).to(dtype)
    return packed, AmsLinear.of(packed, added if bias else None).to(device)


@pytest.mark.parametrize(("scheme", "columns", "block"), SHAPES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_products_of_every_batch_are_those_of_the_decoded_weights(scheme, columns, block, dtype):
    packed, layer = layer_of(scheme, columns, block, rows=100, dtype=dtype)
    for batch in (1, 3, 8, 16, 64, 65, 256, 257, 512):
        x = torch.randn(batch, columns, generator=torch.Generator().manual_seed(batch)).to(dtype)
        expected = exact(packed, x, layer.bias.cpu())
        found = layer(x.cuda())
        assert found.dtype == dtype
        bound = expected.abs().max() * 8 * torch.finfo(dtype).eps
        assert (found.cpu().double() - expected).abs().max() <= bound, batch


@pytest.mark.parametrize(("scheme", "columns", "block"), SHAPES)
def test_weights_survive_every_way(scheme, columns, block):
    packed, layer = layer_of(scheme, columns, block)
    assert layer.packed() == packed
    assert copy.deepcopy(layer).packed() == packed
    assert layer.cpu().packed() == packed
    assert layer.to("cuda").to(torch.bfloat16).packed() == packed
    state = layer.state_dict()
    other = AmsLinear(columns, 24, scheme=scheme, scale_block=block, bias=True, device="cuda")
    other.load_state_dict(state)
    assert other.packed() == packed


def test_memory_is_that_of_the_packed_weights():
    packed, layer = layer_of("fp4.25", 4096, None, rows=4096, bias=False)
    held = [layer.words, layer.tails, layer.weight_scale, layer.weight_packed]
    nbytes = sum(t.numel() * t.element_size() for t in held if t is not None)
    assert nbytes <= 1.02 * packed.nbytes


def test_float32_activations_are_refused_by_name():
    _, layer = layer_of("fp4.25", 256, None)
    with pytest.raises(amssim.InputError, match=r"float16 or bfloat16, found torch\.float32"):
        layer(torch.ones(1, 256, device="cuda"))


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_graph_captured_on_a_cold_stream_replays_right(dtype):
    packed, layer = layer_of("fp5.33", 1024, None, rows=256, dtype=dtype)
    prepare(layer, [3], [dtype])
    x = torch.zeros(3, 1024, dtype=dtype, device="cuda")
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        y = layer(x)
    for seed in range(3):
        fresh = torch.randn(3, 1024, generator=torch.Generator().manual_seed(seed)).to(dtype)
        x.copy_(fresh)
        graph.replay()
        expected = exact(packed, fresh, layer.bias.cpu())
        bound = expected.abs().max() * 8 * torch.finfo(dtype).eps
        assert (y.cpu().double() - expected).abs().max() <= bound


def test_compiled_it_gives_the_same_values():
    _, layer = layer_of("fp4.25", 1024, None, rows=256)
    x = torch.randn(1, 1024, device="cuda", dtype=torch.float16)
    compiled = torch.compile(layer, fullgraph=True, mode="reduce-overhead")
    with torch.inference_mode():
        for _ in range(4):
            assert torch.equal(compiled(x), layer(x))


def test_a_second_gpu_works_while_the_first_is_current():
    if torch.cuda.device_count() < 2:
        pytest.skip("one GPU")
    packed, layer = layer_of("fp5.33", 1024, None, rows=256, device="cuda:1")
    x = torch.randn(2, 1024).half()
    assert torch.cuda.current_device() == 0
    expected = exact(packed, x, layer.bias.cpu())
    found = layer(x.to("cuda:1")).cpu().double()
    assert (found - expected).abs().max() <= expected.abs().max() * 8 * 2**-10
    assert layer.packed() == packed


@pytest.mark.parametrize("scheme", ["fp5.33", "fp4.25"])
def test_a_model_generates_as_the_dequantised_one(scheme, tmp_path):
    sizes = {"hidden_size": 256, "intermediate_size": 512, "head_dim": 64}
    saved(llama(**sizes), tmp_path / "float")
    amssim.quantize_checkpoint(tmp_path / "float", tmp_path / "packed", scheme)
    amssim.dequantize_checkpoint(tmp_path / "packed", tmp_path / "plain", "float16")
    load = transformers.AutoModelForCausalLM.from_pretrained
    packed, plain = (
        load(tmp_path / name, dtype=torch.float16).to("cuda") for name in ("packed", "plain")
    )
    ids = prompt(2).cuda()
    with torch.inference_mode():
        found, expected = packed(ids).logits.float(), plain(ids).logits.float()
        assert (found - expected).norm() < 0.01 * expected.norm()
        text = packed.generate(ids, max_new_tokens=8, do_sample=False)
        static = packed.generate(
            ids, max_new_tokens=8, do_sample=False, cache_implementation="static"
        )
    assert torch.equal(text, static)
