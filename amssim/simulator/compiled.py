"""The functions of `equations`, compiled by Numba from the same source, over arrays of problems."""

from __future__ import annotations

from functools import cache
from types import FunctionType

import numpy as np

from amssim._jit import jit
from amssim.simulator import equations


@cache
def functions() -> dict:
    """Return the namespace of `equations` with every function compiled; callees first."""
    namespace = dict(vars(equations))
    for name, value in vars(equations).items():
        if isinstance(value, FunctionType) and value.__module__ == equations.__name__:
            rebound = FunctionType(value.__code__, namespace, name, value.__defaults__)
            rebound.__module__ = equations.__name__
            namespace[name] = jit(rebound)
    return namespace


@cache
def _kernel():
    latency = functions()["latency"]
    load_type = equations.Load

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


def latencies(device, kernel, rows, columns, batch, bits, reuse_bytes) -> np.ndarray:
    """Return float64 seconds of many problems for one device and one kernel variant.

    Args:
        device: an `equations.Device`.
        kernel: an `equations.Kernel`.
        rows, columns, batch, bits, reuse_bytes: arrays that broadcast to one shape, as `Load`.
    """
    arrays = np.broadcast_arrays(rows, columns, batch, bits, reuse_bytes)
    flat = [np.ascontiguousarray(a, dtype=np.float64).ravel() for a in arrays]
    out = np.empty(flat[0].size)
    _kernel()(device, kernel, *flat, out)
    return out.reshape(arrays[0].shape)
