"""Products of packed rows with x for every scheme on any CPU: the codec, then sums in float64."""

from __future__ import annotations

import numpy as np

from amssim._jit import jit
from amssim._threads import over_rows
from amssim.codec.constants import element, form
from amssim.codec.packing import Chunk
from amssim.codec.rows import dequantize_rows
from amssim.cpu.activations import LARGEST_STEP, Quantized
from amssim.errors import UnsupportedError
from amssim.tensor.packed import PackedTensor

_ONE = np.ones((1, 1), np.float32)
_FLOAT64_WHOLE = 2**53


def product(packed: PackedTensor, x: Quantized, threads: int) -> np.ndarray:
    """Return the product float32[rows, n] with n columns."""
    rows, columns = packed.shape
    scheme, block = packed.scheme, packed.scale_block or columns
    y = np.empty((rows, len(x.scale)), np.float32)

    def work(start: int, stop: int) -> None:
        codec = element(scheme.minifloat), form(scheme), Chunk.of(form(scheme))
        values = np.empty((1, columns), np.float32)
        _rows(packed.words, packed.scales, block, codec, _ONE, values, *x, y, start, stop)

    over_rows(work, rows, threads)
    return y


def check_exact(packed: PackedTensor, activations: str) -> None:
    """Raise `UnsupportedError` if a sum of whole numbers could need more than a float64 holds."""
    element = packed.scheme.minifloat
    term = int(element.max_value / element.min_subnormal) * LARGEST_STEP[activations]
    if term * (packed.scale_block or packed.shape[1]) > _FLOAT64_WHOLE:
        raise UnsupportedError(
            f"{packed.shape[1]} columns of {packed.scheme.name} are too many for exact "
            f"{activations} sums, at most {_FLOAT64_WHOLE // term}: split the matrix"
        )


@jit
def _rows(words, scales, block, codec, one, values, x, factor, y, start, stop):
    """y[r, n] = sum_b float32(sum_k w[r, k] x[n, k]) factor[n] scales[r, b], k in block b.

    words   uint16[rows, half-words]
    scales  float32[rows, blocks]
    block   int                        columns per scale
    codec   (Element, Form, Chunk)
    one     float32[1, 1]              1, the scale of the values
    values  float32[1, columns]        room for a row's values
    x       float32[n, columns]
    factor  float32[n]
    y       float32[rows, n]           written; the blocks are added in float32 from left to right
    """
    columns = x.shape[1]
    for r in range(start, stop):
        dequantize_rows(words[r : r + 1], one, columns, codec[0], codec[1], codec[2], values)
        for n in range(x.shape[0]):
            total = np.float32(0)
            for b in range(scales.shape[1]):
                part = slice(b * block, min((b + 1) * block, columns))
                found = np.float32(_dot(values[0, part], x[n, part]))
                total += np.float32(np.float32(found * factor[n]) * scales[r, b])
            y[r, n] = total


@jit(fastmath={"reassoc", "contract"})  # as many sums side by side as the CPU has lanes
def _dot(values, x):
    """The sum of values[k] x[k] in float64, where every product is exact."""
    total = np.float64(0)
    for k in range(values.shape[0]):
        total += np.float64(values[k]) * np.float64(x[k])
    return total
