"""Tensor data through the safetensors library, in pieces and without keeping the file in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod

import ml_dtypes  # noqa: F401  registers bfloat16 with numpy, which the library then finds
import numpy as np
from safetensors import SafetensorError, safe_open

from amssim.checkpoint.safetensors.header import Header
from amssim.errors import UnsupportedError

#: Weights handled at a time: 64 MB as float32, large enough that starting threads costs nothing.
BLOCK_WEIGHTS = 1 << 24
#: Pages of the mapped file that may stay resident before it is mapped anew.
RESIDENT_BYTES = 1 << 28

#: A range of rows, behind the index of the matrix where there are three dimensions.
Key = tuple[int | slice, ...]


class TensorReader:
    """Reads one file's tensors, whole or by rows, as arrays of their own.

    The library maps the file, and every page touched counts as memory of the process until the
    file is closed. It is therefore opened anew before more than ``resident_bytes`` are touched.
    """

    def __init__(self, header: Header, resident_bytes: int = RESIDENT_BYTES):
        self._header = header
        self._budget = resident_bytes
        self._touched = 0
        self._file = None

    def __enter__(self) -> TensorReader:
        return self

    def __exit__(self, *error) -> None:
        self._file = None

    def whole(self, name: str) -> np.ndarray:
        """Return a tensor; `UnsupportedError` for a dtype that numpy does not know."""
        nbytes = self._header.tensors[name].nbytes
        return self._read(name, nbytes, lambda file: file.get_tensor(name))

    def rows(self, name: str, key: Key) -> np.ndarray:
        """Return the rows of a 2-D or 3-D tensor at a key of `row_blocks`."""
        info = self._header.tensors[name]
        row_bytes = info.nbytes // prod(info.shape[:-1])
        nbytes = row_bytes * (key[-1].stop - key[-1].start)
        return self._read(name, nbytes, lambda file: file.get_slice(name)[key])

    def _read(self, name: str, nbytes: int, get: Callable) -> np.ndarray:
        try:
            return get(self._opened(nbytes))
        except (SafetensorError, AttributeError, TypeError, ValueError, OSError) as error:
            raise UnsupportedError(
                f"{self._header.path}: tensor {name!r} ({self._header.tensors[name].dtype}) "
                f"cannot be read by the safetensors library: {error}"
            ) from None

    def _opened(self, nbytes: int):
        if self._file is None or self._touched + nbytes > self._budget:
            self._file = None  # unmapped before it is mapped again
            self._file = safe_open(self._header.path, "np")
            self._touched = 0
        self._touched += nbytes
        return self._file


def row_blocks(shape: tuple[int, ...]) -> Iterator[Key]:
    """Yield keys that cover a 2-D or 3-D tensor in row order, `BLOCK_WEIGHTS` or a row at a time.

    >>> list(row_blocks((2, 3000, 8192)))[:3]
    [(0, slice(0, 2048, None)), (0, slice(2048, 3000, None)), (1, slice(0, 2048, None))]
    """
    *outer, rows, columns = shape
    step = max(1, BLOCK_WEIGHTS // columns)
    for matrix in range(outer[0]) if outer else [None]:
        for start in range(0, rows, step):
            part = slice(start, min(start + step, rows))
            yield (part,) if matrix is None else (matrix, part)
