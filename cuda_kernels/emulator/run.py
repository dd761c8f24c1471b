"""Runs the unmodified source of a kernel on the CPU, 32 lanes at a time, one thread per warp.

PTX functions are replaced by their models. Memory is checked for bounds and alignment, what was
never written reads as NaN, and a branch that diverges inside a warp, a place in global memory that
two blocks write or a race in shared memory (`cuda_kernels.emulator.races`) is an error.
"""

from __future__ import annotations

import threading
import types
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from cuda_kernels.emulator.lanes import GLOBAL_BASE, PATIENCE_S, WARP, GlobalMemory, Lanes, lanes
from cuda_kernels.emulator.races import Clocks, SharedMemory


class DeviceMemory:
    """Global memory with an allocator."""

    def __init__(self, nbytes: int = 1 << 22):
        self.memory = GlobalMemory(nbytes, GLOBAL_BASE)
        self._top = 0

    def put(self, array: np.ndarray) -> int:
        """Copy an array to the device and return its address."""
        octets = np.ascontiguousarray(array).view(np.uint8).ravel()
        start = self._top
        self._top = -(-(start + octets.size) // 256) * 256
        self.memory.bytes[start : start + octets.size] = octets
        return start + GLOBAL_BASE

    def get(self, address: int, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """Copy an array from the device."""
        start = address - GLOBAL_BASE
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        octets = self.memory.bytes[start : start + size]
        return np.array(octets.view(dtype).reshape(shape))


def emulate(
    kernel: Callable[..., None],
    device: DeviceMemory,
    grid: tuple[int, int],
    threads: int,
    arguments: Sequence[Any],
    shared_bytes: int = 0,
) -> None:
    """Launch ``kernel`` over grid (x, y); the x blocks of a row are one cluster.

    Args:
        kernel: a Python function as given to numba.cuda.
        arguments: numpy scalars; addresses as uint64.

    Raises:
        AssertionError: an access out of bounds or misaligned, a race, or a branch that diverges.
    """
    for row in range(grid[1]):
        failures: list[BaseException] = []
        started = [
            threading.Thread(target=_run_warp, args=(kernel, place, state, arguments, failures))
            for place, state in _warps_of(row, device, grid, threads, shared_bytes)
        ]
        for thread in started:
            thread.start()
        for thread in started:
            thread.join()
        if failures:
            raise failures[0]


def _warps_of(
    row: int, device: DeviceMemory, grid: tuple[int, int], threads: int, shared_bytes: int
) -> Iterator[tuple[_Place, tuple[Any, ...]]]:
    """Yield (what stands for numba.cuda, state) of each warp of a cluster."""
    cluster, warps = grid[0], threads // 32
    clocks = Clocks(cluster * warps)
    memories = [SharedMemory(shared_bytes, cluster * warps) for _ in range(cluster)]
    together = threading.Barrier(cluster * warps, lambda: clocks.join(slice(None)))
    for rank in range(cluster):
        mine = slice(rank * warps, (rank + 1) * warps)
        alone = threading.Barrier(warps, partial(clocks.join, mine))
        for warp in range(warps):
            place = (rank, row * cluster + rank + 1, rank * warps + warp)
            state = (device.memory, memories, place, (alone, together), clocks)
            yield _Place((rank, row), grid, warp, threads, alone), state


def _run_warp(
    kernel: Callable[..., None],
    place: _Place,
    state: tuple[Any, ...],
    arguments: Sequence[Any],
    failures: list[BaseException],
) -> None:
    WARP.bind(*state)
    try:
        with np.errstate(over="ignore"):
            _on_models(kernel, place)(*arguments)
    except BaseException as failure:
        failures.append(failure)
        for barrier in state[3]:
            barrier.abort()


class _Place:
    """Stands for the module ``numba.cuda`` inside a kernel."""

    def __init__(
        self,
        block: tuple[int, int],
        grid: tuple[int, int],
        warp: int,
        threads: int,
        barrier: threading.Barrier,
    ):
        tid = lanes(np.arange(32) + 32 * warp, np.uint32)
        self.threadIdx = types.SimpleNamespace(x=tid)
        self.blockIdx = types.SimpleNamespace(x=np.uint32(block[0]), y=np.uint32(block[1]))
        self.gridDim = types.SimpleNamespace(x=np.uint32(grid[0]), y=np.uint32(grid[1]))
        self.blockDim = types.SimpleNamespace(x=np.uint32(threads))
        self.shared = types.SimpleNamespace(array=lambda *shape, **dtype: None)
        self.syncthreads = lambda: barrier.wait(PATIENCE_S)
        self.syncwarp = lambda: WARP.clocks.meet(WARP.number)


def _converter(dtype: Any) -> Callable[[Any], Any]:
    def convert(value: Any) -> Any:
        if isinstance(value, np.ndarray) and value.ndim:
            return lanes(value, dtype)
        return lanes(value, dtype)[0]

    return convert


_TYPES: dict[type, Callable[[Any], Any]] = {
    d: _converter(d) for d in (np.uint16, np.uint32, np.uint64, np.int32, np.float32)
}


def _on_models(function: Any, place: _Place) -> Any:
    """The same code with PTX functions, types and numba.cuda exchanged for models."""

    def exchange(value: Any) -> Any:
        if isinstance(value, type) and value in _TYPES:
            return _TYPES[value]
        if getattr(value, "__name__", None) == "numba.cuda":
            return place
        if hasattr(value, "model"):
            return value.model
        if hasattr(value, "py_func"):  # a device function
            return _on_models(value.py_func, place)
        return value

    code = function.__code__
    used = {
        name: function.__globals__[name] for name in code.co_names if name in function.__globals__
    }
    scope = function.__globals__ | {name: exchange(value) for name, value in used.items()}
    scope |= {"min": np.minimum, "max": np.maximum}
    cells = tuple(types.CellType(exchange(c.cell_contents)) for c in function.__closure__ or ())
    return types.FunctionType(code, scope, function.__name__, function.__defaults__, cells)


__all__ = ["DeviceMemory", "Lanes", "emulate"]
