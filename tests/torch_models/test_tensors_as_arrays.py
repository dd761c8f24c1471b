"""Tensors of PyTorch where amssim takes arrays, and tensors back where products come back."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import amssim  # noqa: E402

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


@pytest.fixture(scope="module")
def packed():
    return amssim.quantize(numbers(6, 56, dtype=torch.float32), "fp4.25", scale_block=24)


def numbers(*shape, dtype):
    generator = torch.Generator().manual_seed(len(shape))
    return torch.randn(shape, generator=generator).to(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_weights_and_their_layout_do_not_matter(dtype):
    weights = numbers(56, 6, dtype=dtype).T  # of strides that are no array's by default
    expected = amssim.quantize(weights.double().numpy(), "fp5.33")
    assert amssim.quantize(weights, "fp5.33") == expected
    again = amssim.Metrics.of(weights, expected.dequantize(torch.float32))
    assert again == amssim.Metrics.of(weights.double().numpy(), expected.dequantize())


@pytest.mark.parametrize("dtype", DTYPES)
def test_products_of_tensors_are_tensors(packed, dtype):
    for shape in ((56,), (3, 56)):
        x = numbers(*shape, dtype=dtype)
        plain = x.double().numpy()
        pairs = [
            (amssim.gemv(packed, x), amssim.gemv(packed, plain)),
            (amssim.gemv(packed, x, activations="int8"),
             amssim.gemv(packed, plain, activations="int8")),
            (x @ packed.T, plain @ packed.T),
            (packed @ x.T if x.ndim == 2 else packed @ x, packed @ plain.T),
        ]  # fmt: skip
        for found, expected in pairs:
            assert isinstance(found, torch.Tensor) and isinstance(expected, np.ndarray)
            assert found.dtype == torch.float32 and np.array_equal(found.numpy(), expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_weights_come_back_as_the_type_asked_for(packed, dtype):
    name = str(dtype).removeprefix("torch.")
    expected = packed.dequantize(name)
    weights = packed.dequantize(dtype)
    assert weights.dtype == dtype and weights.double().equal(torch.tensor(expected.astype(float)))
    out = torch.empty(56, 6, dtype=dtype).T
    assert amssim.dequantize(packed, dtype, out=out) is out and out.equal(weights)


def test_the_memory_of_a_result_is_its_own(packed):
    x = numbers(56, dtype=torch.float32)
    first = amssim.gemv(packed, x)
    kept = first.clone()
    amssim.gemv(packed, -x)
    first += 1
    assert torch.equal(first, kept + 1)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda x: x.requires_grad_(), "requires a gradient, which would be lost"),
        (lambda x: x.to("meta"), "has no values: it is on the meta device"),
        (lambda x: x.to_sparse(), "cannot be read as an array"),
        (lambda x: x.to(torch.float8_e4m3fn), "cannot be read as an array"),
        (lambda x: x.int(), "found int32"),
        (lambda x: x.to(torch.complex64), "found complex64"),
    ],
)
def test_other_tensors_are_refused_with_a_sentence(packed, change, sentence):
    calls = {
        "weights": lambda t: amssim.quantize(t),
        "x": lambda t: amssim.gemv(packed, t),
    }
    for name, call in calls.items():
        tensor = change(torch.ones(56) if name == "x" else torch.ones(1, 56))
        with pytest.raises(amssim.InputError) as refused:
            call(tensor)
        assert str(refused.value).startswith(name) and sentence in str(refused.value)
        assert "\n" not in str(refused.value)


def test_without_gradients_parameters_are_taken(packed):
    with torch.no_grad():
        assert amssim.gemv(packed, torch.nn.Parameter(torch.ones(56))).shape == (6,)


@pytest.mark.parametrize("dtype", [torch.int32, torch.float8_e4m3fn, torch.complex64])
def test_types_that_no_weights_have(packed, dtype):
    with pytest.raises(amssim.InputError, match="dtype must be float16, bfloat16"):
        packed.dequantize(dtype)


def test_an_out_that_does_not_fit(packed):
    with pytest.raises(amssim.InputError, match=r"out must be float32\[6, 56\], found float16"):
        amssim.dequantize(packed, out=torch.empty(6, 56, dtype=torch.float16))
