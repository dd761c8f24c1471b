"""Tensor data of one file as arrays: whole or by rows, read by position, nothing mapped."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from pathlib import Path
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

    Those that its header has gathered from other files are read from there, through one each.

    Raises:
        MismatchError: another file, or another header, than ``header`` was read from.
    """

    def __init__(self, header: Header):
        self.header = header
        self._files: dict[Path, OpenFile] = {}
        try:
            for each in (header, *header.elsewhere.values()):
                self._open(each)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> TensorReader:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every file."""
        for file in self._files.values():
            file.close()

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
        file, first, last = self._place(name, start, stop)
        return file.read(first, last)

    def chunks(self, name: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Yield the same in pieces of at most `CHUNK_BYTES`."""
        file, first, last = self._place(name, start, stop)
        return file.chunks(first, last)

    def place(self, name: str) -> tuple[OpenFile, int, int]:
        """Return the file that holds a tensor, its first byte there and its last (exclusive)."""
        home = self.header.elsewhere.get(name, self.header)
        return self._files[home.path], *self.header.data_range(name)

    def check_unchanged(self) -> None:
        """Raise `MismatchError` if a file or its header changed since the reader was opened."""
        self.check_stamps()
        for header in (self.header, *self.header.elsewhere.values()):
            file = self._files[header.path]
            if header_digest(file, header.data_start) != header.digest:
                raise changed(header.path)

    def check_stamps(self) -> None:
        """The same without reading headers: for every task."""
        for file in self._files.values():
            file.check_unchanged()

    def _open(self, header: Header) -> None:
        if header.path not in self._files:
            file = OpenFile(header.path, follow_links=header.follow_links)
            self._files[header.path] = file
            header.check_same(file)

    def _place(self, name: str, start: int, stop: int | None) -> tuple[OpenFile, int, int]:
        info = self.header.tensors[name]
        stop = info.nbytes if stop is None else stop
        if not 0 <= start <= stop <= info.nbytes:
            raise InputError(
                f"{self.header.path}: tensor {name!r} has {info.nbytes} bytes, asked for {start} "
                f"to {stop}"
            )
        file, first, _ = self.place(name)
        return file, first + start, first + stop

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
            file, first, _ = self.place(info.name)
            file.read_into(out.reshape(-1).view("u1").data, first + offset)
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
