"""`quantize_`: which layers, in place, the same bits as `amssim.quantize`."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

import amssim  # noqa: E402
from amssim.torch import AmsLinear, quantize_  # noqa: E402


class Net(nn.Module):
    """Names as models have them."""

    def __init__(self, dtype=torch.float32):
        super().__init__()
        self.embed_tokens = nn.Embedding(20, 30)
        self.up_proj = nn.Linear(30, 40, dtype=dtype)
        self.lm_head = nn.Linear(40, 20, bias=False, dtype=dtype)

    def forward(self, x):
        return self.lm_head(self.up_proj(x))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_weights_have_the_bits_of_quantize(dtype):
    net = Net(dtype)
    weights = net.up_proj.weight.detach().float().numpy()
    assert quantize_(net, "fp4.25", search="replace", scale="mse", scale_block=10) is net
    expected = amssim.quantize(weights, "fp4.25", search="replace", scale="mse", scale_block=10)
    assert net.up_proj.packed() == expected
    assert net.up_proj.bias.dtype == dtype
    assert type(net.lm_head) is nn.Linear


def test_rules_are_those_of_checkpoints():
    net = quantize_(Net(), "fp5.33", rules=["lm_head=fp6-e2m3", "up_proj=keep"])
    assert type(net.up_proj) is nn.Linear
    assert net.lm_head.scheme == "fp6-e2m3"


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_of_a_layer_is_kept(training):
    net = quantize_(Net().train(training), "fp5.33")
    assert net.up_proj.training == training


def test_a_model_without_linear_layers_is_refused():
    with pytest.raises(amssim.InputError, match="it has no linear layers"):
        quantize_(nn.Sequential(nn.ReLU()), "fp5.33")


def test_a_weight_that_is_not_finite_is_named_and_nothing_after_it_changes():
    net = Net()
    with torch.no_grad():
        net.up_proj.weight[1, 2] = np.nan
    with pytest.raises(amssim.InputError, match=r"up_proj\.weight holds 1 NaN"):
        quantize_(net, "fp5.33")
    assert not any(isinstance(m, AmsLinear) for m in net.modules())


def test_a_model_without_values_is_refused():
    with pytest.raises(amssim.InputError, match="no values: it is on the meta device"):
        quantize_(Net().to("meta"), "fp5.33")


def test_an_unknown_scheme_is_refused():
    with pytest.raises(amssim.SchemeError):
        quantize_(Net(), "fp3.14")
