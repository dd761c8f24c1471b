"""Tensor data of one file as arrays: whole or by rows, read by position, nothing mapped."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import TYPE_CHECKING, NamedTuple

from amssim.checkpoint.safetensors.descriptor import OpenFile, changed, no_memory
from amssim.checkpoint.safetensors.header import Header, TensorInfo, header_digest
from amssim.errors import InputError, UnsupportedError

if TYPE_CHECKING:
    import numpy as np

#: Elements handled at a time: 64 MB as float32, large enough that starting threads costs nothing.
ELEMENTS_AT_ONCE = 1 << 24


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
    """Reads one file's tensors, from any number of threads, through one descriptor.

    Raises:
        MismatchError: another file, or another header, than ``header`` was read from.
    """

    def __init__(self, header: Header):
        self.header = header
        self.file = OpenFile(header.path, follow_links=header.follow_links)
        try:
            header.check_same(self.file)
        except BaseException:
            self.file.close()
            raise

    def __enter__(self) -> TensorReader:
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()

    def whole(self, name: str) -> np.ndarray:
        """Return a tensor; `UnsupportedError` for a dtype that no array has."""
        info = self.header.tensors[name]
        return self._array(info, info.shape, 0)

    def rows(self, name: str, rows: RowRange, out: np.ndarray | None = None) -> np.ndarray:
        """Return some rows of a 2-D or 3-D tensor, in ``out`` if it is given.

        ``out`` is a C-contiguous array of the tensor's dtype, one row per row.

        Raises:
            InputError: rows that the tensor does not have, or an ``out`` of another form.
            UnsupportedError: a dtype that no array has.
        """
        info = self.header.tensors[name]
        first = first_row(info, rows)
        row_bytes = self._dtype(info).itemsize * info.shape[-1]
        shape = (rows.stop - rows.start, info.shape[-1])
        return self._array(info, shape, first * row_bytes, out)

    def raw(self, name: str, start: int = 0, stop: int | None = None) -> bytes:
        """Return bytes ``start`` to ``stop`` of a tensor of any dtype, by default all."""
        return self.file.read(*self._place(name, start, stop))

    def chunks(self, name: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Yield the same in pieces of at most `CHUNK_BYTES`."""
        return self.file.chunks(*self._place(name, start, stop))

    def check_unchanged(self) -> None:
        """Raise `MismatchError` if the file or its header changed since the reader was opened."""
        self.file.check_unchanged()
        if header_digest(self.file, self.header.data_start) != self.header.digest:
            raise changed(self.header.path)

    def _place(self, name: str, start: int, stop: int | None) -> tuple[int, int]:
        info = self.header.tensors[name]
        stop = info.nbytes if stop is None else stop
        if not 0 <= start <= stop <= info.nbytes:
            raise InputError(
                f"{self.header.path}: tensor {name!r} has {info.nbytes} bytes, asked for {start} "
                f"to {stop}"
            )
        first = self.header.data_start + info.start
        return first + start, first + stop

    def _array(
        self, info: TensorInfo, shape: tuple[int, ...], offset: int, out: np.ndarray | None = None
    ) -> np.ndarray:
        dtype = self._dtype(info)
        if out is None:
            out = self._empty(info, shape, dtype)
        elif (out.dtype, out.shape) != (dtype, shape) or not out.flags.c_contiguous:
            raise InputError(
                f"rows of tensor {info.name!r} go into a C-contiguous array {dtype}{list(shape)}, "
                f"found {out.dtype}{list(out.shape)}"
            )
        if out.size:
            start = self.header.data_start + info.start + offset
            self.file.read_into(out.reshape(-1).view("u1").data, start)
        return out

    def _empty(self, info: TensorInfo, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        import numpy as np

        try:
            return np.empty(shape, dtype)
        except MemoryError:
            raise no_memory(self.header.path, prod(shape) * dtype.itemsize) from None
        except ValueError as error:  # without elements, yet the other dimensions are too large
            raise UnsupportedError(
                f"{self.header.path}: tensor {info.name!r} of shape {list(shape)} cannot be an "
                f"array: {error}"
            ) from None

    def _dtype(self, info: TensorInfo) -> np.dtype:
        from amssim.checkpoint.safetensors.array_dtypes import ARRAY_DTYPES

        try:
            return ARRAY_DTYPES[info.dtype]
        except KeyError:
            raise UnsupportedError(
                f"{self.header.path}: tensor {info.name!r} is {info.dtype}, which no array holds: "
                "only its bytes can be copied"
            ) from None


def first_row(info: TensorInfo, rows: RowRange) -> int:
    """Number of rows of the whole tensor above a range of it; `InputError` for one outside it."""
    *outer, count = info.shape[:-1] or (0,)
    inside = len(rows.outer) == len(outer) and 0 <= rows.start <= rows.stop <= count
    if not inside or not all(0 <= i < n for i, n in zip(rows.outer, outer, strict=True)):
        raise InputError(
            f"tensor {info.name!r} of shape {list(info.shape)} has no rows {rows.start} to "
            f"{rows.stop} of {list(rows.outer)}"
        )
    first = 0
    for index, size in zip(rows.outer, outer, strict=True):
        first = first * size + index
    return first * count + rows.start


def row_ranges(shape: tuple[int, ...], elements: int | None = None) -> Iterator[RowRange]:
    """Yield ranges that cover a 2-D or 3-D tensor in row order.

    Each has at most so many elements, by default `ELEMENTS_AT_ONCE`, or one row.

    >>> [tuple(rows) for rows in row_ranges((2, 3000, 8192))][:3]
    [((0,), 0, 2048), ((0,), 2048, 3000), ((1,), 0, 2048)]
    """
    *matrices, rows, columns = shape
    step = max(1, (elements or ELEMENTS_AT_ONCE) // columns)
    for outer in [(matrix,) for matrix in range(matrices[0])] if matrices else [()]:
        for start in range(0, rows, step):
            yield RowRange(outer, start, min(start + step, rows))
