"""x as the AVX2 kernels read it: padded, and in the order in which they meet the weights."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from amssim._jit import jit
from amssim.cpu.layouts import LAYOUTS
from amssim.cpu.memory import aligned
from amssim.scheme import Scheme


@lru_cache(maxsize=64)
def kernel_order(scheme: Scheme, columns: int, kind: str) -> np.ndarray:
    """Return int32[padded columns]: the column that each item of an operand is; -1 is padding.

    ``kind`` is the dtype of the operand: vectors of int16 meet the even columns of a vector of
    weights first, then the odd ones.
    """
    column = LAYOUTS[scheme].vector_columns(columns)
    if kind == "int16":
        column = column.reshape(-1, 16, 2).swapaxes(1, 2).reshape(-1)
    return np.where(column < columns, column, -1).astype(np.int32)


def floats(x: np.ndarray, scheme: Scheme) -> np.ndarray:
    """Return float32[n, columns] as float32[n, padded columns] in kernel order."""
    order = kernel_order(scheme, x.shape[1], "float32")
    arranged = aligned((len(x), len(order)), np.float32)
    _arrange_floats(x, order, arranged)
    return arranged


def integers(steps: np.ndarray, scheme: Scheme, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Return whole numbers as kind[n, padded columns] in kernel order, and their sums int64[n].

    Args:
        steps: float32[n, columns], as `quantize_columns` makes them.
        scheme: that of the weights.
        kind: ``int8`` or ``int16``.
    """
    order = kernel_order(scheme, steps.shape[1], kind)
    arranged = aligned((len(steps), len(order)), np.dtype(kind))
    sums = np.empty(len(steps), np.int64)
    _arrange_integers(steps, order, arranged, sums)
    return arranged, sums


@jit
def _arrange_floats(x, order, arranged):
    """arranged[n, i] = x[n, order[i]], 0 for padding; the arrays are those of `floats`."""
    for n in range(x.shape[0]):
        for i in range(order.shape[0]):
            k = order[i]
            arranged[n, i] = x[n, k] if k >= 0 else np.float32(0)


@jit
def _arrange_integers(steps, order, arranged, sums):
    """arranged[n, i] = steps[n, order[i]], 0 for padding; the arrays are those of `integers`."""
    for n in range(steps.shape[0]):
        total = np.int64(0)
        for i in range(order.shape[0]):
            k = order[i]
            step = np.int32(steps[n, k]) if k >= 0 else np.int32(0)
            arranged[n, i] = step
            total += np.int64(step)
        sums[n] = total
