"""Compiled kernels, each loaded once per device when it is first needed."""

from functools import lru_cache

from cuda_kernels.compile import compile_ptx
from cuda_kernels.dense.kernel import make_dequantize
from cuda_kernels.driver import Function, gpu
from cuda_kernels.forms.form import Form
from cuda_kernels.gemm.kernel import make_gemm
from cuda_kernels.gemv.kernel import make_gemv
from cuda_kernels.normalize.kernel import THREADS, make_normalize
from cuda_kernels.plain.narrow import THREADS as NARROW_THREADS
from cuda_kernels.plain.narrow import make_narrow
from cuda_kernels.ptx_cache import cached
from cuda_kernels.stream.kernel import make_stream
from cuda_kernels.warpgroup.kernel import make_warpgroup_gemm

ADDRESS, COUNT = "uint64", "uint32"
GEMV = (ADDRESS,) * 10 + (COUNT,) * 12
GEMM = (ADDRESS,) * 7 + (COUNT,) * 6
WARPGROUP = (ADDRESS,) * 7 + (COUNT,) * 7
STREAM = (ADDRESS,) * 7 + (COUNT,) * 7
DEQUANTIZE = (ADDRESS,) * 4 + (COUNT,) * 4
NORMALIZE = (ADDRESS,) * 3 + (COUNT,) * 2
NARROW = (ADDRESS,) * 3 + (COUNT,)
DEQUANTIZE_THREADS = 256


def _load(device: int, make, form: Form | None, dtype: str, options: dict, signature: tuple,
          bounds: tuple) -> Function:  # fmt: skip
    """Compile what ``make(form, dtype, **options)`` returns, or read it from disk, and load it."""
    found = gpu(device)
    arguments = (dtype,) if form is None else (form, dtype)
    key = (make.__name__, *arguments, sorted(options.items()), found.capability, bounds)

    def build() -> str:
        return compile_ptx(make(*arguments, **options), signature, found.capability, bounds)

    return Function(cached(make.__module__, key, build), signature, shared_bytes=found.shared_bytes)


@lru_cache
def gemv(device: int, form: Form, dtype: str, threads: int, resident: int, **options):
    """The loaded kernel of `cuda_kernels.gemv`."""
    options["early"] = gpu(device).hopper
    return _load(device, make_gemv, form, dtype, options, GEMV, (threads, resident))


@lru_cache
def gemm(device: int, form: Form, dtype: str, columns: int, warps: int, split: bool):
    """The loaded kernel of `cuda_kernels.gemm`."""
    options = {"columns": columns, "warps": warps, "early": gpu(device).hopper, "split": split}
    return _load(device, make_gemm, form, dtype, options, GEMM, (32 * warps, 1))


@lru_cache
def warpgroup(
    device: int, form: Form, dtype: str, columns: int, warps: int, groups: int, split: bool
):
    """The loaded kernel of `cuda_kernels.warpgroup`."""
    options = {"columns": columns, "warps": warps, "groups": groups, "split": split}
    return _load(device, make_warpgroup_gemm, form, dtype, options, WARPGROUP, (32 * warps, 1))


@lru_cache
def stream(device: int, form: Form, dtype: str, **options):
    """The loaded kernel of `cuda_kernels.stream`."""
    bounds = (32 * options["warps"], 1)
    return _load(device, make_stream, form, dtype, options, STREAM, bounds)


@lru_cache
def dequantize(device: int, form: Form, dtype: str):
    """The loaded kernel of `cuda_kernels.dense.kernel`."""
    options, bounds = {"early": gpu(device).hopper}, (DEQUANTIZE_THREADS, 2)
    return _load(device, make_dequantize, form, dtype, options, DEQUANTIZE, bounds)


@lru_cache
def normalize(device: int, dtype: str):
    """The loaded kernel of `cuda_kernels.normalize.kernel`."""
    options = {"early": gpu(device).hopper}
    return _load(device, make_normalize, None, dtype, options, NORMALIZE, (THREADS, 1))


@lru_cache
def narrow(device: int, dtype: str):
    """The loaded kernel of `cuda_kernels.plain.narrow`."""
    return _load(device, make_narrow, None, dtype, {}, NARROW, (NARROW_THREADS, 1))
