"""Products of packed rows with x for every scheme on any CPU: the codec, then sums in float64."""

from __future__ import annotations

import numpy as np

from amssim._jit import jit
from amssim._threads import over_rows
from amssim.codec.constants import (
    ElementNumbers,
    LayoutNumbers,
    element_numbers,
    layout_numbers,
)
from amssim.codec.packing import Chunk
from amssim.codec.rows import dequantize_rows
from amssim.cpu.operands import LARGEST_STEP, Activations
from amssim.errors import UnsupportedError
from amssim.scheme import Scheme

_ONE = np.ones((1, 1), np.float32)
_FLOAT64_WHOLE = 2**53


def plain_product(
    words: np.ndarray,
    scales: np.ndarray,
    scheme: Scheme,
    scale_block: int | None,
    x: Activations,
    threads: int,
) -> np.ndarray:
    """Return the products float32[n, rows] with n rows of x.

    Args:
        words: uint16[rows, half-words].
        scales: float32[rows, blocks].
        scheme: that of the weights.
        scale_block: columns per scale, None for whole rows.
        x: the right-hand sides.
        threads: how many take part.
    """
    columns = x.steps.shape[1]
    y = np.empty((len(x.scale), len(words)), np.float32)
    element, layout = element_numbers(scheme.minifloat), layout_numbers(scheme)

    def work(start: int, stop: int) -> None:
        codec = element, layout, Chunk.of(layout)
        values = np.empty((1, columns), np.float32)
        block = scale_block or columns
        _multiply_rows(words, scales, block, codec, _ONE, values, *x, y, start, stop)

    over_rows(work, len(words), threads)
    return y


def check_exact(scheme: Scheme, columns: int, scale_block: int | None, kind: str) -> None:
    """Raise `UnsupportedError` if a sum of whole numbers could need more than a float64 holds."""
    element = scheme.minifloat
    term = int(element.max_value / element.min_subnormal) * LARGEST_STEP[kind]
    if term * (scale_block or columns) > _FLOAT64_WHOLE:
        raise UnsupportedError(
            f"{columns} columns of {scheme.name} are too many for exact "
            f"{kind} sums, at most {_FLOAT64_WHOLE // term}: split the matrix"
        )


@jit
def _multiply_rows(
    words: np.ndarray,
    scales: np.ndarray,
    scale_block: int,
    codec: tuple[ElementNumbers, LayoutNumbers, Chunk],
    one: np.ndarray,
    values: np.ndarray,
    x: np.ndarray,
    factor: np.ndarray,
    y: np.ndarray,
    start: int,
    stop: int,
) -> None:
    """y[n, r] = sum_b float32(sum_k w[r, k] x[n, k]) factor[n] scales[r, b], k in block b.

    words        uint16[rows, half-words]
    scales       float32[rows, blocks]
    scale_block  int                        columns per scale
    codec        (ElementNumbers, LayoutNumbers, Chunk)
    one          float32[1, 1]              1, the scale of the values
    values       float32[1, columns]        room for a row's values
    x            float32[n, columns]
    factor       float32[n]
    y            float32[n, rows]           written; blocks are added in float32 from left to right
    """
    columns = x.shape[1]
    for r in range(start, stop):
        dequantize_rows(words[r : r + 1], one, columns, codec[0], codec[1], codec[2], values)
        for n in range(x.shape[0]):
            total = np.float32(0)
            for b in range(scales.shape[1]):
                part = slice(b * scale_block, min((b + 1) * scale_block, columns))
                dot = np.float32(_dot(values[0, part], x[n, part]))
                total += np.float32(np.float32(dot * factor[n]) * scales[r, b])
            y[n, r] = total


@jit(fastmath={"reassoc", "contract"})  # as many sums side by side as the CPU has lanes
def _dot(values: np.ndarray, x: np.ndarray) -> np.float64:
    """The sum of values[k] x[k] in float64, where every product is exact."""
    total = np.float64(0)
    for k in range(values.shape[0]):
        total += np.float64(values[k]) * np.float64(x[k])
    return total
