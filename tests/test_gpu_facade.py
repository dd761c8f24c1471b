"""What the GPU facade says where there is no GPU, and about bad arguments before any launch."""

import subprocess
import sys
import types

import numpy as np
import pytest

import amssim
from amssim import gpu
from amssim.errors import InputError, ResourceError


def without_gpu():
    try:
        gpu.check_available()
    except ResourceError:
        return True
    return False


@pytest.mark.skipif(not without_gpu(), reason="this machine has a GPU")
def test_one_sentence_says_what_is_missing():
    packed = amssim.quantize(np.ones((2, 8), np.float32), "fp4.25")
    with pytest.raises(ResourceError) as error:
        packed.to_gpu()
    text = str(error.value)
    assert "\n" not in text
    assert "pip install 'amssim[cuda]'" in text or "driver" in text


def test_numba_cuda_missing(monkeypatch):
    import numba

    monkeypatch.delattr(numba, "cuda", raising=False)
    monkeypatch.setitem(sys.modules, "numba.cuda", None)
    with pytest.raises(ResourceError, match=r"pip install 'amssim\[cuda\]'"):
        gpu.check_available()


def test_builtin_target_is_refused(monkeypatch):
    import numba

    old = types.ModuleType("numba.cuda")
    old.implementation = "Built-in"
    monkeypatch.setitem(sys.modules, "numba.cuda", old)
    monkeypatch.setattr(numba, "cuda", old, raising=False)
    with pytest.raises(ResourceError, match="built-in CUDA target"):
        gpu.check_available()


@pytest.mark.parametrize(
    ("capability", "said"), [(75, "7.5"), (70, "7.0"), (80, None), (120, None)]
)
def test_an_older_gpu_is_refused_in_a_sentence(monkeypatch, capability, said):
    pytest.importorskip("numba_cuda")
    from amssim.launch import Gpu
    from cuda_kernels import driver

    monkeypatch.setattr(driver, "current_device", lambda: 0)
    monkeypatch.setattr(driver, "gpu_of", lambda device: Gpu(80, 100_000, capability))
    if said is None:
        gpu.check_available()
        return
    with pytest.raises(ResourceError) as error:
        gpu.check_available()
    expected = f"GPU kernels need compute capability 8.0 or later, found {said}"
    assert str(error.value) == expected


def test_a_driver_that_finds_no_gpu_is_refused_in_a_sentence(monkeypatch):
    pytest.importorskip("numba_cuda")
    from cuda_kernels import driver

    library = types.SimpleNamespace(cuInit=lambda flags: 100)
    monkeypatch.setattr(driver.ctypes, "CDLL", lambda name: library)
    driver.library.cache_clear()
    with pytest.raises(ResourceError, match=r"finds no usable GPU \(error 100\): see nvidia-smi"):
        driver.library()
    driver.library.cache_clear()


def test_importing_the_facade_needs_no_gpu():
    code = "import sys, amssim.gpu; print('numba' in sys.modules, 'cuda_kernels' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


@pytest.mark.parametrize("w", [amssim.quantize(np.ones((2, 8)), "fp4.25"), np.ones((2, 8)), None])
def test_what_is_not_on_a_gpu_is_named(w):
    with pytest.raises(
        InputError, match=f"w must be a GpuTensor, found {type(w).__name__}: to_gpu"
    ):
        gpu.gemv(w, np.ones(8, np.float16))


@pytest.mark.parametrize("bias", [np.ones(3, np.float32), np.ones(2), np.ones((2, 1), np.float32)])
def test_bias_of_another_shape_or_type(bias):
    packed = amssim.quantize(np.ones((2, 8), np.float32), "fp4.25")
    with pytest.raises(InputError, match=r"bias must be float32\[2\]"):
        gpu._check_bias(bias, packed)


class Fake:
    """An array of any kind, as its interface describes it."""

    def __init__(self, typestr="<f2", shape=(8,), strides=None):
        self.__cuda_array_interface__ = {
            "typestr": typestr, "shape": shape, "strides": strides, "data": (4096, False),
            "version": 3,
        }  # fmt: skip


def test_adopted_arrays():
    from cuda_kernels.arrays import adopt

    found = adopt("x", Fake(shape=(2, 8), strides=(16, 2)))
    assert (found.address, found.dtype, found.shape) == (4096, "float16", (2, 8))
    with pytest.raises(InputError, match="x must be contiguous"):
        adopt("x", Fake(shape=(2, 8), strides=(2, 4)))
    with pytest.raises(InputError, match="array on the GPU"):
        adopt("x", np.ones(8, np.float16))
