"""Canonical words and scales to the kernels' order and back, on the emulator, word by word."""

import numpy as np
import pytest
from fake_gpu import FakeGpu
from gpu_cases import in_kernel_order

import amssim
from amssim import reference
from amssim.errors import InputError
from amssim.layout import layout
from cuda_kernels.forms import host, widen_codes
from cuda_kernels.layouts import kernel_layout
from cuda_kernels.pack.launch import to_canonical, to_kernel_order

RNG = np.random.default_rng(12)
SCHEMES = ["fp4.25", "fp5.33", "fp4-e2m1", "fp4.5-e2m2", "fp5-e2m2"]


class Arrays:
    """A matrix of random canonical words on an emulated GPU, with room for its kernel order."""

    def __init__(self, gpu, scheme, rows, columns, block=None, words=None):
        self.scheme, self.shape, self.block = amssim.scheme(scheme), (rows, columns), block
        self.layout = kernel_layout(0, scheme, rows, columns, block)
        size = self.layout.canonical.shape
        self.host = RNG.integers(0, 2**16, size, np.uint16) if words is None else words
        self.scales = np.exp2(RNG.uniform(-4, 4, (rows, self.layout.blocks))).astype(np.float32)
        self.canonical, self.given = gpu.put(self.host), gpu.put(self.scales)
        self.words = gpu.empty(self.layout.words.shape, np.uint32)
        self.tails = self.layout.tails and gpu.empty(self.layout.tails.shape, np.uint32)
        self.ordered = None
        if self.layout.scale_units:
            self.ordered = gpu.empty(self.layout.scales.shape, np.float32)

    @property
    def arrays(self):
        return {"words": self.words, "tails": self.tails, "ordered_scales": self.ordered}

    def to_kernel_order(self):
        to_kernel_order(self.layout, self.canonical, self.given, **self.arrays, stream=3)

    def codes(self):
        return reference.unpack(self.host, self.scheme, self.shape[1])

    def expected(self):
        form = self.layout.form
        return host.pack_form(widen_codes(self.codes(), self.scheme, form), form)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("shape", [(19, 70), (3, 1), (1, 257)])
def test_words_and_tails_equal_the_cpus_and_come_back(emulated_gpu, scheme, shape):
    matrix = Arrays(emulated_gpu, scheme, *shape)
    matrix.to_kernel_order()
    words, tails = matrix.expected()
    assert (matrix.words.copy_to_host() == words).all()
    assert matrix.tails is None or (matrix.tails.copy_to_host() == tails).all()
    back = emulated_gpu.put(np.full_like(matrix.host, 0x5A5A))
    to_canonical(matrix.layout, back, **matrix.arrays, stream=3)
    assert (back.copy_to_host() == reference.pack(matrix.codes(), matrix.scheme)).all()
    assert [launch.kernel for launch in emulated_gpu.launches] == ["pack", "unpack"]


@pytest.mark.parametrize("scheme", ["fp4.25", "fp5.33"])
def test_every_half_word_survives(monkeypatch, without_caches, scheme):
    """All 2^16 of them; of FP4.25 also as shared bits."""
    gpu = FakeGpu(emulate=True)
    gpu.install(monkeypatch)
    block = layout(amssim.scheme(scheme)).block_words
    row_words = -(-(2**16) // (64 * block)) * block
    words = np.arange(64 * row_words).astype(np.uint16).reshape(64, row_words)
    columns = row_words // block * layout(amssim.scheme(scheme)).block_weights
    matrix = Arrays(gpu, scheme, 64, columns, words=words)
    matrix.to_kernel_order()
    expected, tails = matrix.expected()
    assert (matrix.words.copy_to_host() == expected).all()
    assert matrix.tails is None or (matrix.tails.copy_to_host() == tails).all()


@pytest.mark.parametrize(("scheme", "block"), [("fp4.25", 64), ("fp4.25", 192), ("fp5.33", 96)])
@pytest.mark.parametrize("shape", [(17, 500), (3, 769)])
def test_scales_per_block_are_ordered_and_come_back(emulated_gpu, scheme, block, shape):
    matrix = Arrays(emulated_gpu, scheme, *shape, block=block)
    matrix.to_kernel_order()
    expected = in_kernel_order(matrix.scales, matrix.layout.form, shape[1], block)
    found = matrix.ordered.copy_to_host().ravel()
    assert matrix.ordered.shape[0] == shape[0], "rows can be told from the scales"
    assert (found[: expected.size] == expected).all()
    assert np.isfinite(found).all()
    back = emulated_gpu.put(np.full_like(matrix.scales, np.nan))
    restored = emulated_gpu.put(np.zeros_like(matrix.host))
    to_canonical(matrix.layout, restored, back, **matrix.arrays)
    assert (back.copy_to_host() == matrix.scales).all()


def test_what_is_repacked_is_complete_when_it_returns(emulated_gpu, monkeypatch):
    waited = []
    wait = emulated_gpu.cuStreamSynchronize
    monkeypatch.setattr(
        emulated_gpu, "cuStreamSynchronize", lambda s: waited.append(s.value) or wait(s)
    )
    Arrays(emulated_gpu, "fp5.33", 16, 48).to_kernel_order()
    assert waited == [3]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"words": None}, r"needs words: uint32\[2, 4, 32, 4\]"),
        ({"tails": None}, r"needs tails: uint32\[2, 1, 32\]"),
        ({"words": (2, 4, 32, 3)}, r"must be uint32\[2, 4, 32, 4\], 4096 bytes, found .* 3072"),
    ],
)
def test_arrays_of_another_size_are_refused(noting_gpu, change, message):
    matrix = Arrays(noting_gpu, "fp4.25", 17, 70)
    change = {k: v and noting_gpu.empty(v, np.uint32) for k, v in change.items()}
    with pytest.raises(InputError, match=message):
        to_kernel_order(matrix.layout, matrix.canonical, **matrix.arrays | change)
    assert noting_gpu.launches == []


def test_a_matrix_without_a_form_stays_as_it_is(noting_gpu):
    layout_ = kernel_layout(0, "fp6-e3m2", 17, 70, 32)
    assert layout_.form is None and layout_.tails is None
    assert layout_.words == layout_.canonical
    assert layout_.scales.shape == (17, 3)
    with pytest.raises(InputError, match="no kernel form holds fp6-e3m2 with scale block 32"):
        to_kernel_order(layout_, None, words=None)


# --- kernels without tensor cores ----------------------------------------------------------------


def dense(packed):
    values = packed.scheme.minifloat.decode(packed.codes()).astype(np.float64)
    return values * reference.spread(packed.scales, packed.shape[1], packed.scale_block)


@pytest.mark.parametrize("scheme", [s.name for s in amssim.schemes()])
def test_dense_weights_one_by_one(emulated_gpu, scheme):
    """Rows of 37 are no whole 16 bytes, whatever the form."""
    from cuda_kernels.matrix import Matrix

    packed = amssim.quantize(RNG.standard_normal((18, 37)).astype(np.float32), scheme)
    matrix = Matrix(packed.scheme, packed.shape, packed.words, packed.scales)
    out = emulated_gpu.tensor(np.zeros((18, 37), np.float32))
    matrix.dequantize("float32", out, stream=1)
    assert (emulated_gpu.values(out, np.float32) == packed.dequantize(np.float32)).all()
    assert {launch.kernel for launch in emulated_gpu.launches} == {"elements"}


@pytest.mark.parametrize(("scheme", "block"), [("fp4.25", 64), ("fp5.33", 96), ("fp6-e3m2", 50)])
def test_dense_weights_with_scales_per_block(emulated_gpu, scheme, block):
    from cuda_kernels.matrix import Matrix

    values = RNG.standard_normal((18, 300)).astype(np.float32)
    packed = amssim.quantize(values, scheme, scale_block=block)
    matrix = Matrix(packed.scheme, packed.shape, packed.words, packed.scales, block)
    out = emulated_gpu.tensor(np.zeros((18, 300), np.float32))
    matrix.dequantize("float32", out, stream=1)
    assert (emulated_gpu.values(out, np.float32) == packed.dequantize(np.float32)).all()


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
@pytest.mark.parametrize(("scheme", "block"), [("fp6-e3m2", None), ("fp6-e2m3", 50)])
def test_products_of_schemes_without_a_form(emulated_gpu, scheme, block, kind):
    import ml_dtypes

    from cuda_kernels.matrix import Matrix

    values = RNG.standard_normal((3, 150)).astype(np.float32)
    packed = amssim.quantize(values, scheme, scale_block=block)
    bias = RNG.standard_normal(3).astype(np.float32)
    matrix = Matrix(packed.scheme, packed.shape, packed.words, packed.scales, block, bias)
    x = RNG.standard_normal((2, 150)).astype(getattr(ml_dtypes, kind, kind))
    out = emulated_gpu.tensor(np.full((2, 3), np.nan, np.float32))
    matrix.gemv(emulated_gpu.tensor(x, kind), out, stream=1)
    expected = x.astype(np.float64) @ dense(packed).T + bias
    assert np.allclose(emulated_gpu.values(out, np.float32), expected, rtol=1e-5, atol=1e-5)
    assert [launch.kernel for launch in emulated_gpu.launches] == ["plain"]
