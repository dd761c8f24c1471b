"""Bands of rows: any float matrix as the float32 rows that kernels read, without a whole copy.

A band is as many neighbouring rows as are converted at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

# A band of converted rows, 1 MB: large against a call, small against a matrix.
_BAND_WEIGHTS = 1 << 18


def is_plain(array: np.ndarray, dtype: Any) -> bool:
    """Whether kernels can use ``array`` in place: C order, aligned, of the native ``dtype``."""
    flags = array.flags
    native = array.dtype == dtype and array.dtype.isnative
    return bool(native and flags.c_contiguous and flags.aligned)


def row_bands(start: int, stop: int, columns: int) -> Iterator[tuple[int, int]]:
    """Split rows start..stop so that a band holds at least one row and about 1 MB of float32."""
    rows = max(1, _BAND_WEIGHTS // columns)
    for first in range(start, stop, rows):
        yield first, min(first + rows, stop)


def float32_bands(
    weights: np.ndarray, start: int, stop: int
) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield (first, last, read-only float32 rows first..last) that cover rows start..stop.

    Plain float32 is one band, in place; anything else is converted into one buffer, which the
    next band overwrites. float64 is rounded; beyond float32's range it becomes infinite.
    """
    if is_plain(weights, np.float32):
        yield start, stop, read_only(weights[start:stop])
        return
    for first, last, band in _buffered(weights, start, stop):
        with np.errstate(all="ignore"):
            np.copyto(band, weights[first:last], casting="unsafe")
        yield first, last, read_only(band)


def fillable_bands(
    weights: np.ndarray, start: int, stop: int
) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield (first, last, float32 rows to fill) that cover rows start..stop of ``weights``.

    Plain float32 is one band, in place; for anything else the band is rounded into ``weights``
    once it has been filled.
    """
    if is_plain(weights, np.float32):
        yield start, stop, weights[start:stop]
        return
    for first, last, band in _buffered(weights, start, stop):
        yield first, last, band
        with np.errstate(over="ignore"):
            np.copyto(weights[first:last], band, casting="same_kind")


def read_only(array: np.ndarray) -> np.ndarray:
    """Return a view that cannot be written: kernels have one type for all their inputs."""
    view = array.view()
    view.flags.writeable = False
    return view


def _buffered(weights: np.ndarray, start: int, stop: int) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield (first, last, the rows of one buffer for them)."""
    columns = weights.shape[1]
    bands = list(row_bands(start, stop, columns))
    buffer = np.empty((bands[0][1] - start, columns), np.float32)  # the first is the largest
    for first, last in bands:
        yield first, last, buffer[: last - first]
