"""What the CPU kernels read: x quantised, x in kernel order, and a scheme's rows as vectors."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from amssim._jit import jit
from amssim.codec.constants import SMALLEST_SCALE
from amssim.codec.elements import float_of
from amssim.minifloat import Minifloat
from amssim.scheme import Scheme

#: How x takes part in the sums: as float32, or quantised to 127 or 32512 steps on either side.
ACTIVATIONS = ("float32", "int16", "int8")
#: The largest whole number of each integer kind. 32512 = 255 * 127 + 127 is the most that two
#: planes of int8 hold, 255 high + low within [-127, 127], so that kernels may use those.
LARGEST_STEP = {"int8": 127, "int16": 32512}
_CACHE_LINE_BYTES = 64


class VectorForm(NamedTuple):
    """How the AVX2 kernels see the rows of a scheme: as *tiles*, each some vectors of 32 weights.

    A tile of FP5.33 is six vectors, a tile of FP4.25 is one stored block, two vectors. What the
    kernels compile differs by the type of ``rows``.
    """

    scheme: Scheme
    rows: type  #: named tuple of ``words``, uint16[rows, tile_words * tiles]
    tile_words: int  #: half-words of a tile
    tile_columns: int  #: weights of a tile
    offset: int  #: the largest weight in steps: added, it makes every weight a uint8
    rows_of: Callable[[np.ndarray], Any]  #: words of a packed tensor -> ``rows``
    vector_columns: Callable[[int], np.ndarray]  #: the columns of rows of so many, in vectors
    integers: Callable[..., Any]  #: kernel function; see `amssim.cpu.kernels.integers`
    halves: Callable[..., Any]  #: kernel function; see `amssim.cpu.kernels.halves`


class Activations(NamedTuple):
    """Rows of x as whole numbers: x[n] is about ``steps[n] * scale[n]``."""

    steps: np.ndarray  #: float32[n, columns], whole numbers
    scale: np.ndarray  #: float32[n]

    @classmethod
    def as_they_are(cls, x: np.ndarray) -> Activations:
        """Return float32[n, columns] that is not quantised: every scale is 1."""
        return cls(x, np.ones(len(x), np.float32))


def quantize_activations(x: np.ndarray, kind: str) -> Activations:
    """Round each row of float32[n, columns] to whole multiples of its own scale.

    scale = max|x| / limit by one float32 division, at least the smallest normal float32, with
    limit 127 for int8 and 32512 for int16; steps = x / scale in float32, rounded half to even.
    The scale of a row with NaN or Inf is not finite.
    """
    steps, scale = np.empty_like(x), np.empty(len(x), np.float32)
    _quantize(x, np.float32(LARGEST_STEP[kind]), SMALLEST_SCALE, steps, scale)
    return Activations(steps, scale)


@lru_cache(maxsize=64)
def kernel_order(form: VectorForm, columns: int, kind: str) -> np.ndarray:
    """Return int32[padded columns]: the column that each item of an operand is; -1 is padding.

    ``kind`` is the dtype of the operand: vectors of int16 meet the even columns of a vector of
    weights first, then the odd ones.
    """
    column = form.vector_columns(columns)
    if kind == "int16":
        column = column.reshape(-1, 16, 2).swapaxes(1, 2).reshape(-1)
    return np.where(column < columns, column, -1).astype(np.int32)


def float_operand(x: np.ndarray, form: VectorForm) -> np.ndarray:
    """Return float32[n, columns] as float32[n, padded columns] in kernel order."""
    order = kernel_order(form, x.shape[1], "float32")
    arranged = aligned((len(x), len(order)), np.float32)
    _arrange_floats(x, order, arranged)
    return arranged


def integer_operand(
    steps: np.ndarray, form: VectorForm, kind: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return whole numbers as kind[n, padded columns] in kernel order, and their sums int64[n].

    Args:
        steps: float32[n, columns], as `quantize_activations` makes them.
        form: that of the weights.
        kind: ``int8`` or ``int16``.
    """
    order = kernel_order(form, steps.shape[1], kind)
    arranged = aligned((len(steps), len(order)), np.dtype(kind))
    sums = np.empty(len(steps), np.int64)
    _arrange_integers(steps, order, arranged, sums)
    return arranged, sums


def aligned(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Return an uninitialised array at the start of a cache line: no vector of it lies in two.

    NumPy asks for huge pages where such an array is large, but not for ``np.zeros``; without them
    two threads read packed weights no faster than one.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    room = np.empty(size + _CACHE_LINE_BYTES, np.uint8)
    start = -room.ctypes.data % _CACHE_LINE_BYTES
    line: np.ndarray = room[start : start + size].view(dtype).reshape(shape)
    return line


def magnitudes_in_steps(element: Minifloat) -> list[int]:
    """Return the value of every code of sign 0, in units of the smallest positive value.

    >>> magnitudes_in_steps(Minifloat(2, 2))
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28]
    """
    positive = element.values[: element.magnitudes] / element.min_subnormal
    return [int(value) for value in positive]


@jit
def _quantize(
    x: np.ndarray,
    largest: np.float32,
    smallest_scale: np.float32,
    steps: np.ndarray,
    scale: np.ndarray,
) -> None:
    """scale[n] = max_k |x[n, k]| / largest; steps[n, k] = x[n, k] / scale[n], rounded to even.

    x, steps  float32[n, columns]
    scale     float32[n]           not finite where a row of x is not
    """
    for n in range(x.shape[0]):
        most = np.uint32(0)
        bits = x[n].view(np.uint32)
        for k in range(x.shape[1]):  # magnitudes order like their bits, NaN above Inf
            magnitude = np.uint32(bits[k] & np.uint32(0x7FFFFFFF))
            most = magnitude if magnitude > most else most
        quotient = np.float32(float_of(most) / largest)
        scale[n] = smallest_scale if quotient < smallest_scale else quotient
        for k in range(x.shape[1]):
            steps[n, k] = np.rint(np.float32(x[n, k] / scale[n]))


@jit
def _arrange_floats(x: np.ndarray, order: np.ndarray, arranged: np.ndarray) -> None:
    """arranged[n, i] = x[n, order[i]], 0 for padding; the arrays are those of `float_operand`."""
    for n in range(x.shape[0]):
        for i in range(order.shape[0]):
            k = order[i]
            arranged[n, i] = x[n, k] if k >= 0 else np.float32(0)


@jit
def _arrange_integers(
    steps: np.ndarray, order: np.ndarray, arranged: np.ndarray, sums: np.ndarray
) -> None:
    """arranged[n, i] = steps[n, order[i]], 0 for padding; the arrays are `integer_operand`'s."""
    for n in range(steps.shape[0]):
        total = np.int64(0)
        for i in range(order.shape[0]):
            k = order[i]
            step = np.int32(steps[n, k]) if k >= 0 else np.int32(0)
            arranged[n, i] = step
            total += np.int64(step)
        sums[n] = total
