"""Tensor data through the safetensors library, in pieces and without keeping the file in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod
from typing import Any, NamedTuple

import ml_dtypes  # noqa: F401  registers bfloat16 with numpy, which the library then finds
import numpy as np
from safetensors import SafetensorError, safe_open

from amssim.checkpoint.safetensors.header import Header
from amssim.errors import UnsupportedError

#: Elements handled at a time: 64 MB as float32, large enough that starting threads costs nothing.
ELEMENTS_AT_ONCE = 1 << 24
#: Pages of the mapped file that may stay resident before it is mapped anew.
RESIDENT_BYTES = 1 << 28


class RowRange(NamedTuple):
    """Rows ``start`` to ``stop`` of a 2-D tensor, or of the matrix ``outer`` of a 3-D one."""

    outer: tuple[int, ...]
    start: int
    stop: int

    @property
    def first(self) -> tuple[int, ...]:
        """Index of the first row in the tensor."""
        return (*self.outer, self.start)


class TensorReader:
    """Reads one file's tensors, whole or by rows, as arrays of their own.

    The library maps the file, and every page touched counts as memory of the process until the
    file is closed. It is therefore opened anew before more than ``resident_bytes`` are touched.
    """

    def __init__(self, header: Header, *, resident_bytes: int = RESIDENT_BYTES):
        self.header = header
        self._budget = resident_bytes
        self._touched = 0
        self._file: Any = None

    def __enter__(self) -> TensorReader:
        return self

    def __exit__(self, *error: object) -> None:
        self._file = None

    def whole(self, name: str) -> np.ndarray:
        """Return a tensor; `UnsupportedError` for a dtype that numpy does not know."""
        nbytes = self.header.tensors[name].nbytes
        return self._read(name, nbytes, lambda file: file.get_tensor(name))

    def rows(self, name: str, rows: RowRange) -> np.ndarray:
        """Return some rows of a 2-D or 3-D tensor."""
        info = self.header.tensors[name]
        row_bytes = info.nbytes // prod(info.shape[:-1])
        key = (*rows.outer, slice(rows.start, rows.stop))
        nbytes = row_bytes * (rows.stop - rows.start)
        return self._read(name, nbytes, lambda file: file.get_slice(name)[key])

    def _read(self, name: str, nbytes: int, get: Callable[[Any], np.ndarray]) -> np.ndarray:
        try:
            return get(self._opened(nbytes))
        except (SafetensorError, AttributeError, TypeError, ValueError, OSError) as error:
            raise UnsupportedError(
                f"{self.header.path}: tensor {name!r} ({self.header.tensors[name].dtype}) "
                f"cannot be read by the safetensors library: {error}"
            ) from None

    def _opened(self, nbytes: int) -> Any:
        if self._file is None or self._touched + nbytes > self._budget:
            self._file = None  # unmapped before it is mapped again
            self._file = safe_open(self.header.path, "np")
            self._touched = 0
        self._touched += nbytes
        return self._file


def row_ranges(shape: tuple[int, ...]) -> Iterator[RowRange]:
    """Yield ranges that cover a 2-D or 3-D tensor in row order.

    Each has at most `ELEMENTS_AT_ONCE` elements, or one row.

    >>> [tuple(rows) for rows in row_ranges((2, 3000, 8192))][:3]
    [((0,), 0, 2048), ((0,), 2048, 3000), ((1,), 0, 2048)]
    """
    *matrices, rows, columns = shape
    step = max(1, ELEMENTS_AT_ONCE // columns)
    for outer in [(matrix,) for matrix in range(matrices[0])] if matrices else [()]:
        for start in range(0, rows, step):
            yield RowRange(outer, start, min(start + step, rows))
