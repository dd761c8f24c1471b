"""Fused products and attention of one token on a GPU."""

import copy

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from amssim.torch import AmsLinear, fuse_, quantize_  # noqa: E402
from amssim.torch.attention import ATTEND  # noqa: E402
from torch_models.tiny import llama  # noqa: E402

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no GPU"),
]


@pytest.mark.parametrize("scheme", ["fp5.33", "fp4.25"])
def test_fused_products_are_the_same_bit_for_bit(scheme):
    apart = quantize_(llama(), scheme).to("cuda", torch.float16)
    fused = fuse_(copy.deepcopy(apart))
    for name, layer in apart.named_modules():
        if type(layer) is AmsLinear:
            x = torch.randn(3, layer.in_features, device="cuda", dtype=torch.float16)
            assert torch.equal(fused.get_submodule(name)(x), layer(x)), name
    for name, value in apart.state_dict().items():
        assert torch.equal(value.cpu(), fused.state_dict()[name].cpu()), name


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize(
    ("batch", "heads", "groups", "cached", "size"),
    [(1, 32, 8, 640, 128), (8, 32, 8, 640, 128), (3, 8, 2, 200, 64), (2, 16, 1, 5000, 128)],
)
def test_attention_of_one_token_is_that_of_float64(dtype, batch, heads, groups, cached, size):
    assert ATTEND
    given = {"device": "cuda", "dtype": dtype}
    query = torch.randn(batch, 1, heads, size, **given).transpose(1, 2)
    key, value = (torch.randn(batch, groups, cached, size, **given) for _ in range(2))
    mask = torch.zeros(1, 1, 1, cached, **given)
    mask[..., cached * 3 // 4 :] = torch.finfo(dtype).min
    double = [part.double() for part in (query, key, value)]
    scale = size**-0.5
    expected = torch.nn.functional.scaled_dot_product_attention(
        *double, attn_mask=mask.double(), scale=scale, enable_gqa=True
    ).transpose(1, 2)
    for _ in range(2):  # what is counted begins anew
        found = torch.ops.amssim.attend(query, key, value, mask, scale)
        error = (found.double() - expected).norm() / expected.norm()
        assert error < 4 * torch.finfo(dtype).eps
