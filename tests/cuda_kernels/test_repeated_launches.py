"""What a repeated product launches, as the driver sees it."""

import numpy as np
import pytest
from fake_gpu import Tensor

import amssim
from amssim.errors import InputError
from cuda_kernels import batches
from cuda_kernels.matrix import Matrix

X, OUT = 1 << 20, 1 << 21


@pytest.fixture
def weights(noting_gpu):
    packed = amssim.quantize(np.ones((64, 256), np.float32), "fp4.25")
    return Matrix(packed.scheme, packed.shape, packed.words, packed.scales)


def changing(launch):
    return {name: launch.arguments[name] for name in ("x", "x_scales", "out")}


@pytest.mark.parametrize("batch", [1, 8])
def test_a_repeated_product_launches_the_same(noting_gpu, weights, monkeypatch, batch):
    shapes = ((256,), (64,)) if batch == 1 else ((batch, 256), (batch, 64))
    weights.gemv(Tensor(shapes[0], X), Tensor(shapes[1], OUT), stream=7)
    monkeypatch.setattr(batches, "adopt", None)  # the second looks at no argument closely
    weights.gemv(Tensor(shapes[0], X + 32), Tensor(shapes[1], OUT + 64), stream=9)
    first, second = noting_gpu.launches
    assert changing(first) == {"x": X, "x_scales": 0, "out": OUT}
    assert changing(second) == {"x": X + 32, "x_scales": 0, "out": OUT + 64}
    assert (first.stream, second.stream) == (7, 9)
    same = first._replace(stream=9, arguments=first.arguments | changing(second))
    assert second == same


@pytest.mark.parametrize(
    ("x", "out", "message"),
    [
        ({"contiguous": False}, {}, "x must be contiguous"),
        ({}, {"contiguous": False}, "out must be contiguous"),
        ({"gpu": 1}, {}, "x is on GPU 1"),
        ({}, {"gpu": 1}, "out is on GPU 1"),
        ({"shape": (257,)}, {}, r"x must be \[256\]"),
        ({}, {"shape": (63,)}, r"out must be \[64\]"),
        ({"dtype": "torch.float32"}, {}, "x must be float16 or bfloat16"),
        ({}, {"dtype": "torch.int32"}, "out must be"),
    ],
)
def test_a_repeated_product_is_checked_like_the_first(noting_gpu, weights, x, out, message):
    weights.gemv(Tensor((256,), X), Tensor((64,), OUT), stream=1)
    x, out = {"shape": (256,), "address": X} | x, {"shape": (64,), "address": OUT} | out
    with pytest.raises(InputError, match=message):
        weights.gemv(Tensor(**x), Tensor(**out), stream=1)
    assert len(noting_gpu.launches) == 1


def test_an_address_that_is_not_aligned_is_copied_each_time(noting_gpu, weights):
    for at in (X, X + 2, X, X + 4):
        weights.gemv(Tensor((256,), at), Tensor((64,), OUT), stream=1)
    names = [launch.kernel for launch in noting_gpu.launches]
    assert names == ["gemv", "normalize", "gemv", "gemv", "normalize", "gemv"]
    copied, product = noting_gpu.launches[1:3]
    assert copied.arguments["x"] == X + 2
    assert copied.arguments["out"] == product.arguments["x"]
    assert copied.arguments["scales"] == product.arguments["x_scales"]
    assert product.arguments["out"] == OUT


def test_a_large_batch_is_several_launches_side_by_side(noting_gpu, weights):
    weights.gemv(Tensor((130, 256), X), Tensor((130, 64), OUT, "torch.float32"), stream=1)
    assert [launch.arguments["batch"] for launch in noting_gpu.launches] == [64, 64, 2]
    x = [launch.arguments["x"] for launch in noting_gpu.launches]
    out = [launch.arguments["out"] for launch in noting_gpu.launches]
    assert x == [X, X + 64 * 256 * 2, X + 128 * 256 * 2]
    assert out == [OUT, OUT + 64 * 64 * 4, OUT + 128 * 64 * 4]


def test_the_launch_call_repeats_the_last_product(noting_gpu, weights):
    weights.gemv(Tensor((256,), X), Tensor((64,), OUT), stream=5)
    assert weights.launch_call(1)() == 0
    first, second = noting_gpu.launches
    assert first == second
