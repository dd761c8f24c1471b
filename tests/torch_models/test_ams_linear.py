"""`AmsLinear` and its operator: right products, and a module like any other."""

import copy
import io
import pickle

import ml_dtypes  # noqa: F401
import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

import amssim  # noqa: E402
from amssim.torch import AmsLinear  # noqa: E402

FORMS = [
    ("fp5.33-e2m3", 100, None),
    ("fp5.33-e2m3", 192, None),
    ("fp5.33-e2m3", 1, None),
    ("fp4.25-e2m2", 56, None),
    ("fp4.25-e2m2", 256, 64),
    ("fp5.33-e2m3", 96, 48),
    ("fp6-e2m3", 50, None),
]
EACH_FORM = pytest.mark.parametrize(("scheme", "columns", "block"), FORMS)


def packed_of(scheme, columns, block, rows=24):
    weights = np.random.default_rng(columns).standard_normal((rows, columns)).astype("f")
    return amssim.quantize(weights, scheme, scale_block=block)


def exact(packed, x, bias):
    """Products in float64 of the weights that the specification decodes."""
    weights = torch.from_numpy(packed.dequantize(np.float64))
    product = x.double() @ weights.T
    return product if bias is None else product + bias.double()


@EACH_FORM
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("lead", [(), (1,), (3,), (2, 5), (70,)])
def test_products_are_those_of_the_decoded_weights(scheme, columns, block, dtype, lead):
    packed = packed_of(scheme, columns, block)
    x = torch.randn(*lead, columns, generator=torch.Generator().manual_seed(1)).to(dtype)
    bias = torch.randn(24, generator=torch.Generator().manual_seed(2)).to(dtype)
    y = AmsLinear.of(packed, bias)(x)
    expected = exact(packed, x, bias)
    assert y.dtype == dtype
    assert y.shape == (*lead, 24)
    scale = expected.abs().max()
    assert (y.double() - expected).abs().max() <= scale * 2 * torch.finfo(dtype).eps


def test_an_empty_batch_has_an_empty_product():
    layer = AmsLinear.of(packed_of("fp5.33", 100, None))
    assert layer(torch.empty(0, 100)).shape == (0, 24)


@EACH_FORM
def test_state_is_what_a_checkpoint_stores(scheme, columns, block):
    packed = packed_of(scheme, columns, block)
    state = AmsLinear.of(packed).state_dict()
    assert np.array_equal(state["weight_packed"].numpy(), packed.words)
    assert np.array_equal(state["weight_scale"].numpy(), packed.scales)
    assert state["weight_shape"].tolist() == list(packed.shape)
    assert len(state) == 3
    other = AmsLinear(columns, 24, scheme=scheme, scale_block=block)
    other.load_state_dict(state)
    assert other.packed() == packed


COPIES = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda layer: pickle.loads(pickle.dumps(layer)),
    "save": lambda layer: _through_torch_save(layer),
    "to cpu": lambda layer: copy.deepcopy(layer).to("cpu"),
}


def _through_torch_save(layer):
    file = io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@EACH_FORM
@pytest.mark.parametrize("how", COPIES)
def test_copies_hold_the_same_weights_and_leave_the_layer_as_it_was(scheme, columns, block, how):
    packed, x = packed_of(scheme, columns, block), torch.randn(3, columns)
    layer = AmsLinear.of(packed, torch.ones(24))
    before = layer(x)
    made = COPIES[how](layer)
    assert made.packed() == packed
    assert torch.equal(made(x), before)
    assert torch.equal(layer(x), before)


@EACH_FORM
def test_a_change_of_dtype_leaves_scales_alone(scheme, columns, block):
    packed = packed_of(scheme, columns, block)
    layer = AmsLinear.of(packed, torch.ones(24)).to(torch.bfloat16)
    assert layer.packed() == packed
    assert layer.weight_scale.dtype == torch.float32
    assert layer.bias.dtype == layer.weight.dtype == torch.bfloat16
    assert layer.half().weight.dtype == torch.float16
    assert layer.packed() == packed


def test_words_of_another_dtype_are_refused_not_converted():
    layer = AmsLinear.of(packed_of("fp5.33", 100, None))
    state = layer.state_dict()
    state["weight_packed"] = state["weight_packed"].to(torch.int32)
    with pytest.raises(amssim.FormatError, match=r"weight_packed is torch.int32, expected.*uint16"):
        layer.load_state_dict(state)


def test_another_shape_of_as_many_words_is_refused():
    layer = AmsLinear.of(packed_of("fp5.33", 100, None))
    state = AmsLinear.of(packed_of("fp5.33", 101, None)).state_dict()
    with pytest.raises(amssim.FormatError, match=r"weight_shape is \[24, 101\].*\[24, 100\]"):
        layer.load_state_dict(state)


@EACH_FORM
def test_the_operator_keeps_the_rules_of_torch(scheme, columns, block):
    layer = AmsLinear.of(packed_of(scheme, columns, block), torch.ones(24))
    x = torch.randn(3, columns)
    arguments = (x, *layer.weights, layer.bias, *layer.form, 0)
    torch.library.opcheck(torch.ops.amssim.linear.default, arguments)


@pytest.mark.parametrize("skip", [0, 2])
def test_columns_that_x_lacks_count_as_zeros(skip):
    packed = packed_of("fp5.33", 96, None)
    layer, x = AmsLinear.of(packed), torch.randn(3, 90)
    whole = torch.nn.functional.pad(x, (skip, 6 - skip))
    y = torch.ops.amssim.linear(x, *layer.weights, None, *layer.form, skip)
    assert torch.equal(y, layer(whole))


def model():
    layers = nn.Sequential(nn.Linear(100, 200), nn.SiLU(), nn.Linear(200, 50, bias=False))
    return amssim.torch.quantize_(layers, "fp5.33", rules=[r"2\.weight=fp4.25"])


def test_gradients_of_x_and_bias_are_those_of_the_decoded_weights():
    packed, bias = packed_of("fp5.33", 100, None), torch.randn(24, requires_grad=True)
    layer = AmsLinear.of(packed, bias)
    layer.bias.requires_grad_()
    weights = torch.from_numpy(packed.dequantize())
    x, y = (torch.randn(4, 100).requires_grad_() for _ in range(2))
    y.data.copy_(x.data)
    layer(x).square().sum().backward()
    (y @ weights.T + bias).square().sum().backward()
    for found, expected in ((x.grad, y.grad), (layer.bias.grad, bias.grad)):
        assert (found - expected).norm() < 1e-5 * expected.norm()


def test_compiled_whole_it_gives_the_same_values_and_gradients():
    layers, x = model(), torch.randn(4, 100)
    compiled = torch.compile(layers, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(x), layers(x))
    a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
    compiled(a).sum().backward()
    layers(b).sum().backward()
    torch.testing.assert_close(a.grad, b.grad)


def test_exported_it_gives_the_same_values():
    layers, x = model(), torch.randn(4, 100)
    assert torch.equal(torch.export.export(layers, (x,)).module()(x), layers(x))
