"""Compiled kernels, each made once per device when it is first needed."""

from functools import lru_cache

from cuda_kernels.compile import compile_ptx
from cuda_kernels.dequantize import make_dequantize
from cuda_kernels.driver import Function, gpu
from cuda_kernels.forms import Form
from cuda_kernels.gemm import make_gemm
from cuda_kernels.gemv import make_gemv
from cuda_kernels.narrow import THREADS as NARROW_THREADS
from cuda_kernels.narrow import make_narrow
from cuda_kernels.normalize import THREADS, make_normalize
from cuda_kernels.warpgroup import make_warpgroup_gemm

ADDRESS, COUNT = "uint64", "uint32"
GEMV = (ADDRESS,) * 8 + (COUNT,) * 10
GEMM = (ADDRESS,) * 7 + (COUNT,) * 6
WARPGROUP = (ADDRESS,) * 7 + (COUNT,) * 7
DEQUANTIZE = (ADDRESS,) * 4 + (COUNT,) * 4
NORMALIZE = (ADDRESS,) * 3 + (COUNT,) * 2
NARROW = (ADDRESS,) * 3 + (COUNT,)
DEQUANTIZE_THREADS = 256


def _load(device: int, kernel, signature: tuple, bounds: tuple) -> Function:
    found = gpu(device)
    text = compile_ptx(kernel, signature, found.capability, bounds)
    return Function(text, signature, shared_bytes=found.shared_bytes)


@lru_cache
def gemv(device: int, form: Form, dtype: str, threads: int, resident: int, team: int, split: bool):
    """The loaded kernel of `cuda_kernels.gemv`."""
    early = gpu(device).hopper
    kernel = make_gemv(form, dtype, early=early, split=split, team=team)
    return _load(device, kernel, GEMV, (threads, resident))


@lru_cache
def gemm(device: int, form: Form, dtype: str, columns: int, warps: int, split: bool):
    """The loaded kernel of `cuda_kernels.gemm`."""
    early = gpu(device).hopper
    kernel = make_gemm(form, dtype, columns=columns, warps=warps, early=early, split=split)
    return _load(device, kernel, GEMM, (32 * warps, 1))


@lru_cache
def warpgroup(
    device: int, form: Form, dtype: str, columns: int, warps: int, groups: int, split: bool
):
    """The loaded kernel of `cuda_kernels.warpgroup`."""
    options = {"columns": columns, "warps": warps, "groups": groups}
    kernel = make_warpgroup_gemm(form, dtype, split=split, **options)
    return _load(device, kernel, WARPGROUP, (32 * warps, 1))


@lru_cache
def dequantize(device: int, form: Form, dtype: str):
    """The loaded kernel of `cuda_kernels.dequantize`."""
    return _load(device, make_dequantize(form, dtype), DEQUANTIZE, (DEQUANTIZE_THREADS, 2))


@lru_cache
def normalize(device: int, dtype: str):
    """The loaded kernel of `cuda_kernels.normalize`."""
    return _load(device, make_normalize(dtype, gpu(device).hopper), NORMALIZE, (THREADS, 1))


@lru_cache
def narrow(device: int, dtype: str):
    """The loaded kernel of `cuda_kernels.narrow`."""
    return _load(device, make_narrow(dtype), NARROW, (NARROW_THREADS, 1))
