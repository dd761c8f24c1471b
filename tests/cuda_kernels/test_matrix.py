"""Products of `Matrix` as a whole, on a fake GPU whose launches run on the emulator."""

import ml_dtypes
import numpy as np
import pytest
from fake_gpu import FakeGpu

import amssim
from amssim import gpu as facade
from amssim.errors import InputError
from amssim.launch.geometry import Gpu
from cuda_kernels.matrix import Matrix

EXACT_ENOUGH = 5e-7
RNG = np.random.default_rng(11)


def weights_of(scheme="fp4.25", rows=40, columns=264, scale_block=None):
    values = RNG.standard_normal((rows, columns)).astype(np.float32)
    return amssim.quantize(values, scheme, scale_block=scale_block)


def matrix_of(packed, bias=None):
    return Matrix(
        packed.scheme, packed.shape, packed.words, packed.scales, packed.scale_block, bias
    )


def error(gpu, matrix, packed, x, *, kind="float16", offset=0, bias=None):
    """Relative error of a product with float32 results."""
    shape = (*x.shape[:-1], packed.shape[0])
    out = gpu.tensor(np.full(shape, np.nan, np.float32))
    matrix.gemv(gpu.tensor(x, kind, offset), out, stream=3)
    expected = x.astype(np.float64) @ packed.dequantize(np.float64).T
    expected = expected if bias is None else expected + bias
    found = gpu.values(out, np.float32).astype(np.float64)
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


@pytest.mark.parametrize("scheme", ["fp4.25", "fp5.33"])
@pytest.mark.parametrize("batch", [1, 6, 20])
def test_products_of_several_kernels(emulated_gpu, scheme, batch):
    packed = weights_of(scheme)
    x = RNG.standard_normal((batch, 264)).astype(np.float16)
    assert error(emulated_gpu, matrix_of(packed), packed, x) < EXACT_ENOUGH
    assert [launch.kernel for launch in emulated_gpu.launches] == ["gemv" if batch <= 6 else "gemm"]


@pytest.mark.parametrize("capability", [80, 89, 120])
def test_products_on_other_gpus(monkeypatch, without_caches, capability):
    gpu = FakeGpu(Gpu(sms=3, shared_bytes=100_000, capability=capability), emulate=True)
    gpu.install(monkeypatch)
    packed = weights_of("fp5.33")
    x = RNG.standard_normal((2, 264)).astype(np.float16)
    assert error(gpu, matrix_of(packed), packed, x) < EXACT_ENOUGH
    assert gpu.launches[0].early == (capability >= 90)


def test_a_vector_gives_a_vector(emulated_gpu):
    packed = weights_of()
    x = RNG.standard_normal(264).astype(np.float16)
    assert error(emulated_gpu, matrix_of(packed), packed, x) < EXACT_ENOUGH


def test_bias_is_added(emulated_gpu):
    packed, bias = weights_of(), RNG.standard_normal(40).astype(np.float32)
    x = RNG.standard_normal((2, 264)).astype(np.float16)
    assert error(emulated_gpu, matrix_of(packed, bias), packed, x, bias=bias) < EXACT_ENOUGH


@pytest.mark.parametrize("columns", [264, 130])
def test_bfloat16_rows_are_normalised(emulated_gpu, columns):
    packed = weights_of(columns=columns)
    x = (RNG.standard_normal((3, columns)) * 2.0**40).astype(ml_dtypes.bfloat16)
    matrix = Matrix(packed.scheme, packed.shape, packed.words, packed.scales)
    if columns % 8:  # dense weights of such rows are made by plain kernels, products are not
        assert matrix.word_bytes > 0
    assert error(emulated_gpu, matrix, packed, x, kind="bfloat16") < EXACT_ENOUGH
    assert [launch.kernel for launch in emulated_gpu.launches] == ["normalize", "gemv"]


@pytest.mark.parametrize(("columns", "offset"), [(264, 2), (130, 0)])
def test_float16_rows_that_are_not_aligned_are_copied(emulated_gpu, columns, offset):
    packed = weights_of(columns=columns)
    x = RNG.standard_normal((2, columns)).astype(np.float16)
    assert error(emulated_gpu, matrix_of(packed), packed, x, offset=offset) < EXACT_ENOUGH
    assert [launch.kernel for launch in emulated_gpu.launches] == ["normalize", "gemv"]


@pytest.mark.parametrize(("scheme", "block"), [("fp4.25", 128), ("fp5.33", 96)])
def test_scales_per_block_take_several_launches(emulated_gpu, scheme, block):
    packed = weights_of(scheme, columns=520, scale_block=block)
    x = RNG.standard_normal((11, 520)).astype(np.float16)
    assert error(emulated_gpu, matrix_of(packed), packed, x) < EXACT_ENOUGH
    batches = [launch.arguments["batch"] for launch in emulated_gpu.launches]
    assert batches == [8, 3]


@pytest.mark.parametrize("scheme", ["fp4.25", "fp5.33"])
def test_weights_elsewhere_give_the_same(emulated_gpu, scheme):
    packed = weights_of(scheme, rows=20, columns=136)
    matrix = matrix_of(packed)
    other = matrix.elsewhere()
    x = RNG.standard_normal((1, 136)).astype(np.float16)
    assert error(emulated_gpu, other, packed, x) < EXACT_ENOUGH
    assert error(emulated_gpu, matrix, packed, x) < EXACT_ENOUGH
    first, second = (launch.arguments for launch in emulated_gpu.launches)
    assert first["weights"] != second["weights"]
    assert first["scales"] == second["scales"], "only words lie elsewhere"
    assert other.nbytes == matrix.nbytes


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_dense_weights(emulated_gpu, dtype):
    packed = weights_of("fp5.33", rows=19, columns=200)
    kind = ml_dtypes.bfloat16 if dtype == "bfloat16" else np.dtype(dtype)
    out = emulated_gpu.tensor(np.zeros((19, 200), kind), dtype)
    assert matrix_of(packed).dequantize(dtype, out, stream=3) is out
    expected = packed.dequantize(np.float32).astype(kind)
    assert (emulated_gpu.values(out, kind) == expected).all()


def test_a_new_result_is_an_array_of_the_same_library(emulated_gpu):
    packed = weights_of()
    x = RNG.standard_normal((2, 264)).astype(np.float16)
    out = matrix_of(packed).gemv(emulated_gpu.put(x), dtype="float32")
    expected = x.astype(np.float64) @ packed.dequantize(np.float64).T
    assert np.allclose(out.copy_to_host(), expected, rtol=1e-5, atol=1e-4)


def test_an_empty_batch_launches_nothing(noting_gpu):
    packed = weights_of()
    out = matrix_of(packed).gemv(noting_gpu.empty((0, 264), np.float16))
    assert out.shape == (0, 40)
    assert noting_gpu.launches == []


# --- amssim.gpu ----------------------------------------------------------------------------------


def test_the_three_spellings_of_a_product(emulated_gpu):
    packed = weights_of()
    w = facade.GpuTensor(packed)
    x = RNG.standard_normal((2, 264)).astype(np.float16)
    batch = facade.gemv(w, emulated_gpu.put(x)).copy_to_host()
    assert (w.T.__rmatmul__(emulated_gpu.put(x)).copy_to_host() == batch).all()
    assert ((w @ emulated_gpu.put(x[0])).copy_to_host() == batch[0]).all()
    assert w.T.shape == (264, 40) and w.T.T is w


def test_numpy_leaves_a_transposed_product_to_the_tensor(emulated_gpu):
    """As CuPy does; an array on the CPU is then refused."""
    w = facade.GpuTensor(weights_of())
    with pytest.raises(InputError, match="x must be an array on the GPU"):
        np.ones((2, 264), np.float16) @ w.T


def test_a_batch_on_the_wrong_side_is_refused(emulated_gpu):
    w = facade.GpuTensor(weights_of())
    with pytest.raises(InputError, match=r"w @ x takes x\[columns\]"):
        w @ emulated_gpu.empty((2, 264), np.float16)


@pytest.mark.parametrize("call", ["gemv", "dequantize"])
def test_options_have_names(noting_gpu, call):
    w = facade.GpuTensor(weights_of())
    with pytest.raises(TypeError, match="positional"):
        getattr(w, call)(None, None, None)
    with pytest.raises(TypeError, match="positional"):
        facade.gemv(w, None, None, None)
