"""Arrays of other libraries on the GPU, by address: torch, CuPy, Numba, and what speaks DLPack."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from math import prod
from typing import Any, NamedTuple

import numpy as np

from amssim.errors import InputError
from cuda_kernels.driver import on_device

_TYPESTR = {"<f2": "float16", "<f4": "float32"}


class Adopted(NamedTuple):
    """An array as kernels see it."""

    address: int
    dtype: str
    shape: tuple[int, ...]
    library: str
    device: int | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of its elements."""
        size = 2 if self.dtype == "bfloat16" else np.dtype(self.dtype).itemsize
        return prod(self.shape) * size


def adopt(name: str, array: Any) -> Adopted:
    """Look at a contiguous array on the GPU without copying it.

    Raises:
        InputError: it is not on a GPU, or not contiguous.
    """
    if hasattr(array, "is_cuda"):
        return _adopt_torch(name, array)
    if hasattr(array, "device_ctypes_pointer"):
        return _adopt_numba(name, array)
    interface = getattr(array, "__cuda_array_interface__", None)
    if interface is None:
        return _adopt_torch(name, _through_dlpack(name, array))
    shape, strides = tuple(interface["shape"]), interface.get("strides")
    dtype = _TYPESTR.get(interface["typestr"], interface["typestr"])
    if strides is not None and strides != _c_strides(shape, interface["typestr"]):
        raise InputError(f"{name} must be contiguous: pass a copy in C order")
    library = "cupy" if type(array).__module__.startswith("cupy") else "numba"
    return Adopted(interface["data"][0], dtype, shape, library)


def address_of(array: Any) -> int:
    """Address of a Numba device array.

    Not by its ``__cuda_array_interface__``, which warns where the array belongs to a stream.
    """
    return int(array.device_ctypes_pointer.value or 0)


def to_device(array: np.ndarray, device: int) -> Any:
    """A copy of an array on a GPU, as a Numba device array."""
    from numba import cuda

    with on_device(device):
        return cuda.to_device(np.ascontiguousarray(array))


def room(shape: int | tuple[int, ...], dtype: Any, device: int) -> Any:
    """An uninitialised Numba device array on a GPU."""
    from numba import cuda

    with on_device(device):
        return cuda.device_array(shape, dtype)


def _adopt_numba(name: str, array: Any) -> Adopted:
    if not array.is_c_contiguous():
        raise InputError(f"{name} must be contiguous: pass a copy in C order")
    dtype = _TYPESTR.get(array.dtype.str, array.dtype.str)
    return Adopted(address_of(array), dtype, tuple(array.shape), "numba")


def _adopt_torch(name: str, tensor: Any) -> Adopted:
    if not tensor.is_cuda:
        raise InputError(f"{name} must be on the GPU, found a tensor on {tensor.device}")
    if not tensor.is_contiguous():
        raise InputError(f"{name} must be contiguous: pass {name}.contiguous()")
    return Adopted(
        tensor.data_ptr(), _torch_name(tensor.dtype), tensor.shape, "torch", tensor.get_device()
    )


@cache
def _torch_name(dtype: Any) -> str:
    return str(dtype).removeprefix("torch.")


def _c_strides(shape: tuple[int, ...], typestr: str) -> tuple[int, ...]:
    strides, step = [], int(typestr[2:])
    for length in reversed(shape):
        strides.append(step)
        step *= length
    return tuple(reversed(strides))


def _through_dlpack(name: str, array: Any) -> Any:
    try:
        from torch import from_dlpack

        return from_dlpack(array)
    except (ImportError, TypeError, AttributeError, RuntimeError, BufferError):
        raise InputError(
            f"{name} must be an array on the GPU (PyTorch, CuPy, Numba; others by DLPack if "
            f"PyTorch is installed), found {type(array).__name__}"
        ) from None


def empty(library: str, shape: int | tuple[int, ...], dtype: str, device: int) -> Any:
    """Make an uninitialised array of ``library`` on a GPU."""
    if library == "torch":
        import torch

        return torch.empty(shape, dtype=getattr(torch, dtype), device=f"cuda:{device}")
    if dtype == "bfloat16":
        raise InputError("a bfloat16 result needs PyTorch: CuPy and Numba have no such type")
    if library == "cupy":
        import cupy

        with cupy.cuda.Device(device):
            return cupy.empty(shape, dtype)
    return room(shape, dtype, device)


def place_of(array: Any) -> int:
    """Address of an array that `empty` made."""
    return int(array.data_ptr()) if hasattr(array, "data_ptr") else adopt("array", array).address


@contextmanager
def current(library: str, stream: Any, device: int) -> Iterator[None]:
    """Have ``library`` allocate and compute on a GPU and a stream, None for its current one."""
    with ExitStack() as stack:
        if library == "torch":
            import torch

            stack.enter_context(torch.cuda.device(device))
            if stream is not None:
                handle = stream_of(library, stream, device)
                there = torch.cuda.ExternalStream(handle, device=device)
                stack.enter_context(torch.cuda.stream(there))
        elif library == "cupy":
            import cupy

            stack.enter_context(cupy.cuda.Device(device))
            if stream is not None:
                handle = stream_of(library, stream, device)
                stack.enter_context(cupy.cuda.ExternalStream(handle, device))
        yield


@cache
def torch_stream() -> Any:
    """A function that returns the handle of PyTorch's current stream on a device."""
    import torch

    raw = getattr(torch._C, "_cuda_getCurrentRawStream", None)  # spares 2 us where it exists
    return raw or (lambda device: torch.cuda.current_stream(device).cuda_stream)


def stream_of(library: str, stream: Any, device: int) -> int:
    """Handle of ``stream``, or of the library's current one on ``device`` if it is None."""
    if stream is None and library == "torch":
        handle: int = torch_stream()(device)
        return handle
    if stream is None and library == "cupy":
        import cupy

        return int(cupy.cuda.get_current_stream(device).ptr)
    if stream is None:
        return 0
    for attribute in ("cuda_stream", "ptr", "handle"):  # torch, CuPy, Numba
        if hasattr(stream, attribute):
            given = getattr(stream, attribute)
            return int(getattr(given, "value", given) or 0)
    return int(stream)
