"""x as the AVX2 kernels read it: padded, and in the order in which they meet the weights."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from amssim._jit import jit
from amssim.cpu.layouts import LAYOUTS
from amssim.cpu.memory import aligned
from amssim.scheme import Scheme

#: int16 activations are this times the high plane, plus the low one.
PLANE_RADIX = 255
_RADIX = np.float32(PLANE_RADIX)


@lru_cache(maxsize=64)
def kernel_order(scheme: Scheme, columns: int) -> np.ndarray:
    """Return int32[padded columns]: the column that each item of an operand is; -1 is padding."""
    column = LAYOUTS[scheme].vector_columns(columns)
    return np.where(column < columns, column, -1).astype(np.int32)


def floats(x: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Return float32[n, columns] as float32[n, padded columns] in kernel order."""
    arranged = aligned((len(x), len(order)), np.float32)
    _arrange_floats(x, order, arranged)
    return arranged


def planes(steps: np.ndarray, count: int, order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return int8[n * count, padded columns] in kernel order, and the sum of each row, int64.

    Args:
        steps: float32[n, columns], whole numbers as `quantize_columns` makes them.
        count: 1, or 2 for 255 high + low, the high plane first, both within [-127, 127].
        order: see `kernel_order`.
    """
    arranged = aligned((count * len(steps), len(order)), np.int8)
    sums = np.zeros(len(arranged), np.int64)
    _arrange_planes(steps, order, arranged, sums)
    return arranged, sums


@jit
def _arrange_floats(x, order, arranged):
    """arranged[n, i] = x[n, order[i]], 0 for padding; the arrays are those of `floats`."""
    for n in range(x.shape[0]):
        for i in range(order.shape[0]):
            k = order[i]
            arranged[n, i] = x[n, k] if k >= 0 else np.float32(0)


@jit
def _arrange_planes(steps, order, arranged, sums):
    """arranged[n, i] = steps[n, order[i]], in planes if it has twice the rows; see `planes`."""
    split = arranged.shape[0] > steps.shape[0]
    for n in range(steps.shape[0]):
        for i in range(order.shape[0]):
            k = order[i]
            step = steps[n, k] if k >= 0 else np.float32(0)
            if split:
                high = np.float32(np.rint(np.float32(step / _RADIX)))
                low = np.float32(step - np.float32(_RADIX * high))
                arranged[2 * n, i] = np.int8(high)
                arranged[2 * n + 1, i] = np.int8(low)
                sums[2 * n] += np.int64(high)
                sums[2 * n + 1] += np.int64(low)
            else:
                arranged[n, i] = np.int8(step)
                sums[n] += np.int64(step)
