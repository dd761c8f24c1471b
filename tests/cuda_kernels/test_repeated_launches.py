"""What a repeated product launches, with a recording launch in place of the driver's."""

import types

import pytest

import amssim
from amssim.errors import InputError
from cuda_kernels import driver, kernels, matrix
from cuda_kernels.forms.form import form_of
from cuda_kernels.launches import Gpu

X, OUT = 1 << 20, 1 << 21


class Tensor:
    """As much of a torch.Tensor as a launch looks at."""

    is_cuda, device = True, "cuda:0"

    def __init__(self, shape, address, dtype="torch.float16", gpu=0, contiguous=True):
        self.shape, self.dtype = shape, dtype
        self.data_ptr, self.get_device = lambda: address, lambda: gpu
        self.is_contiguous = lambda: contiguous


class Recorder:
    """A launch that notes how it was called."""

    calls = []

    def __init__(self, function, grid, threads, **options):
        self.function = function

    def set(self, *values):
        self.values = values

    def __call__(self, stream, changed):
        self.calls.append((self.function, stream, changed))


@pytest.fixture
def weights(monkeypatch):
    monkeypatch.setattr(Recorder, "calls", [])
    monkeypatch.setattr(matrix, "Launch", Recorder)
    monkeypatch.setattr(matrix, "stream_of", lambda library, stream, device: stream or 7)
    monkeypatch.setattr(driver, "gpu", lambda device: Gpu(132, 232_448, (9, 0)))
    for name in ("gemv", "gemm", "normalize"):
        monkeypatch.setattr(kernels, name, lambda *bounds, name=name, **options: name)
    found = object.__new__(matrix.Matrix)
    array = types.SimpleNamespace(device_ctypes_pointer=types.SimpleNamespace(value=4096))
    found.device, found.scheme, found.scale_block = 0, amssim.scheme("fp4.25"), None
    found.shape, found.form = (64, 256), form_of(found.scheme)
    found._scales = found._kernel_scales = found._words = found._tails = array
    found._step, found._together = 64, 0
    found._bias = found._plain = None
    found._launches, found._workspace, found._known = {}, {}, {}
    return found


@pytest.mark.parametrize("batch", [1, 8])
def test_a_repeated_product_launches_the_same(weights, monkeypatch, batch):
    shapes = ((256,), (64,)) if batch == 1 else ((batch, 256), (batch, 64))
    weights.gemv(Tensor(shapes[0], X), Tensor(shapes[1], OUT))
    monkeypatch.setattr(matrix, "adopt", None)  # the second one does not look at its arguments
    weights.gemv(Tensor(shapes[0], X + 32), Tensor(shapes[1], OUT + 64), stream=9)
    assert Recorder.calls == [
        ("gemv", 7, {4: X, 5: 0, 6: OUT}),
        ("gemv", 9, {4: X + 32, 5: 0, 6: OUT + 64}),
    ]


@pytest.mark.parametrize(
    ("x", "out", "message"),
    [
        ({"contiguous": False}, {}, "x must be contiguous"),
        ({}, {"contiguous": False}, "out must be contiguous"),
        ({"gpu": 1}, {}, "x is on GPU 1"),
        ({}, {"gpu": 1}, "out is on GPU 1"),
        ({"shape": (257,)}, {}, r"x must be \[256\]"),
        ({}, {"shape": (63,)}, r"out must be \[64\]"),
    ],
)
def test_a_repeated_product_is_checked_like_the_first(weights, x, out, message):
    weights.gemv(Tensor((256,), X), Tensor((64,), OUT))
    x, out = {"shape": (256,), "address": X} | x, {"shape": (64,), "address": OUT} | out
    with pytest.raises(InputError, match=message):
        weights.gemv(Tensor(**x), Tensor(**out))
    assert len(Recorder.calls) == 1


def test_an_address_that_is_not_aligned_is_copied_each_time(weights, monkeypatch):
    monkeypatch.setattr(weights, "_normalized", lambda *arguments: (4, 5), raising=False)
    for at in (X, X + 2):
        weights.gemv(Tensor((256,), at), Tensor((64,), OUT))
    assert [changed for _, _, changed in Recorder.calls] == [
        {4: X, 5: 0, 6: OUT},
        {4: 4, 5: 5, 6: OUT},
    ]
