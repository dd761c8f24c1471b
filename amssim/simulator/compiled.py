"""The functions of `equations`, compiled by Numba from the same source, over arrays of problems."""

from __future__ import annotations

from functools import cache
from types import FunctionType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from amssim._jit import jit
from amssim._threads import over_rows, thread_count
from amssim.launch import choose, gemm, gemv, geometry, stream, warpgroup
from amssim.launch.geometry import KERNELS
from amssim.launch.tuning import match, rule
from amssim.simulator import equations
from amssim.simulator.quantities import DeviceNumbers, KernelNumbers, Load

MANY = 2**15  # problems from which threads pay
#: The modules of a launch plan, each after those that it imports from.
PLANNING = (geometry, rule, match, gemv, stream, gemm, warpgroup, choose)


@cache
def functions() -> dict[str, Any]:
    """Return the functions of `equations` by name, compiled."""
    return _compiled()[equations.__name__]


@cache
def planning() -> dict[str, Any]:
    """Return the functions of the launch plan by name, compiled."""
    return _compiled()[choose.__name__]


@cache
def _compiled() -> dict[str, dict[str, Any]]:
    """Return the namespace of each module, with all functions of all of them compiled."""
    inner = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}  # half the time to compile
    compiled: dict[FunctionType, Any] = {}
    namespaces: dict[str, dict[str, Any]] = {}
    for module in (*PLANNING, equations):
        namespace = {
            name: compiled.get(value, value) if isinstance(value, FunctionType) else value
            for name, value in vars(module).items()
        }
        for name, value in vars(module).items():
            if isinstance(value, FunctionType) and value.__module__ == module.__name__:
                rebound = FunctionType(value.__code__, namespace, name, value.__defaults__)
                rebound.__module__ = module.__name__
                namespace[name] = compiled[value] = jit(rebound, **inner)
        namespaces[module.__name__] = namespace
    return namespaces


@cache
def _tiled() -> Any:
    latency, load_type = functions()["tiled_latency"], Load

    @jit
    def total_s(device, kernel, rows, columns, batch, bits, reuse_bytes, out):
        """out[i] = T(device, kernel, problem i), seconds.

        rows, columns, batch, bits, reuse_bytes: float64[n] the problems
        out: float64[n] seconds
        """
        for i in range(out.size):
            load = load_type(rows[i], columns[i], batch[i], bits[i], reuse_bytes[i])
            out[i] = latency(device, kernel, load).total

    return total_s


@cache
def _planned() -> Any:
    plan_of, latency = functions()["product_plan"], functions()["planned_latency"]
    same_plan = planning()["same_plan"]
    load_type = Load

    @jit
    def total_s(device, kernels, rows, columns, batch, bits, reuse_bytes, which, out):
        """out[i] = T(device, kernels[which[i] - 1], problem i), seconds.

        kernels: ours in the order of their numbers
        rows, columns, batch, bits, reuse_bytes: float64[n] the problems
        which: int64[n] number of the kernel that the plan takes
        out: float64[n] seconds
        """
        first = load_type(rows[0], columns[0], batch[0], bits[0], reuse_bytes[0])
        plan = plan_of(device, kernels[0], first)
        for i in range(out.size):
            load = load_type(rows[i], columns[i], batch[i], bits[i], reuse_bytes[i])
            j = max(i - 1, 0)
            layer = rows[i] == rows[j] and columns[i] == columns[j]
            if not (layer and same_plan(int(batch[i]), int(batch[j]))):
                plan = plan_of(device, kernels[0], load)  # else the last one serves again
            which[i] = plan.kernel
            out[i] = latency(device, kernels[plan.kernel - 1], load, plan).total

    return total_s


def latencies(
    device: DeviceNumbers,
    kernel: KernelNumbers,
    rows: ArrayLike,
    columns: ArrayLike,
    batch: ArrayLike,
    bits: ArrayLike,
    reuse_bytes: ArrayLike,
) -> np.ndarray:
    """Return float64 seconds of many problems for one device and one kernel variant.

    Args:
        device: an `quantities.DeviceNumbers`.
        kernel: an `quantities.KernelNumbers`.
        rows, columns, batch, bits, reuse_bytes: arrays that broadcast to one shape, as `Load`.
    """
    if kernel.group:
        ours = (kernel,) * len(KERNELS)  # whichever of them the plan takes
        return planned_latencies(device, ours, rows, columns, batch, bits, reuse_bytes)[0]
    arrays, shape = _flat(rows, columns, batch, bits, reuse_bytes)
    out = np.empty(arrays[0].size)
    _in_parts(_tiled(), (device, kernel), (*arrays, out))
    return out.reshape(shape)


def planned_latencies(
    device: DeviceNumbers,
    kernels: tuple[KernelNumbers, ...],
    rows: ArrayLike,
    columns: ArrayLike,
    batch: ArrayLike,
    bits: ArrayLike,
    reuse_bytes: ArrayLike,
) -> tuple[np.ndarray, np.ndarray]:
    """Return float64 seconds of many problems, and the int64 number of our kernel for each.

    Args:
        device: an `quantities.DeviceNumbers`.
        kernels: an `quantities.KernelNumbers` for each kernel of one format, by their numbers.
        rows, columns, batch, bits, reuse_bytes: arrays that broadcast to one shape, as `Load`.
    """
    arrays, shape = _flat(rows, columns, batch, bits, reuse_bytes)
    out, which = np.empty(arrays[0].size), np.empty(arrays[0].size, np.int64)
    _in_parts(_planned(), (device, kernels), (*arrays, which, out))
    return out.reshape(shape), which.reshape(shape)


def _in_parts(total_s: Any, numbers: tuple[Any, ...], arrays: tuple[np.ndarray, ...]) -> None:
    """Call a compiled loop on parts of the problems, one per thread where they are many."""

    def work(start: int, stop: int) -> None:
        total_s(*numbers, *(a[start:stop] for a in arrays))

    problems = arrays[0].size
    if problems:
        over_rows(work, problems, thread_count() if problems >= MANY else 1)


def _flat(*arrays: ArrayLike) -> tuple[list[np.ndarray], tuple[int, ...]]:
    """Return arrays broadcast to one shape as contiguous float64 vectors, and that shape."""
    wide = np.broadcast_arrays(*arrays)
    return [np.ascontiguousarray(a, dtype=np.float64).ravel() for a in wide], wide[0].shape
