"""Rows of any float matrix as the float32 rows that kernels read, without a copy of the whole."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

# A block of converted rows, 1 MB: large against a call, small against a matrix.
_BLOCK_WEIGHTS = 1 << 18


def is_plain(array: np.ndarray, dtype) -> bool:
    """Whether kernels can use ``array`` in place: C order, aligned, of the native ``dtype``."""
    flags = array.flags
    return array.dtype == dtype and array.dtype.isnative and flags.c_contiguous and flags.aligned


def row_blocks(start: int, stop: int, columns: int) -> Iterator[tuple[int, int]]:
    """Split rows start..stop so that a block holds at least one row and about 1 MB of float32."""
    rows = max(1, _BLOCK_WEIGHTS // columns)
    for first in range(start, stop, rows):
        yield first, min(first + rows, stop)


def float32_blocks(
    weights: np.ndarray, start: int, stop: int
) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield (first, last, read-only float32 rows first..last) that cover rows start..stop.

    Plain float32 is one block, in place; anything else is converted into one buffer, which the
    next block overwrites. float64 is rounded; beyond float32's range it becomes infinite.
    """
    if is_plain(weights, np.float32):
        yield start, stop, read_only(weights[start:stop])
        return
    buffer = None
    for first, last in row_blocks(start, stop, weights.shape[1]):
        if buffer is None:
            buffer = np.empty((last - first, weights.shape[1]), np.float32)
        part = buffer[: last - first]
        with np.errstate(all="ignore"):
            np.copyto(part, weights[first:last], casting="unsafe")
        yield first, last, read_only(part)


def fillable_blocks(
    weights: np.ndarray, start: int, stop: int
) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield (first, last, float32 rows to fill) that cover rows start..stop of ``weights``.

    Plain float32 is one block, in place; for anything else the block is rounded into
    ``weights`` once it has been filled.
    """
    if is_plain(weights, np.float32):
        yield start, stop, weights[start:stop]
        return
    buffer = None
    for first, last in row_blocks(start, stop, weights.shape[1]):
        if buffer is None:
            buffer = np.empty((last - first, weights.shape[1]), np.float32)
        part = buffer[: last - first]
        yield first, last, part
        with np.errstate(over="ignore"):
            np.copyto(weights[first:last], part, casting="same_kind")


def read_only(array: np.ndarray) -> np.ndarray:
    """Return a view that cannot be written: kernels have one type for all their inputs."""
    view = array.view()
    view.flags.writeable = False
    return view
