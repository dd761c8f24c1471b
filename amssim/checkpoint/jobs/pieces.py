"""Which rows of a tensor go together, and which stored bytes they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from amssim.checkpoint.packed.stored import SHAPE, LogicalTensor, rows_and_columns

if TYPE_CHECKING:
    import numpy as np

    from amssim.checkpoint.jobs.buffers import Buffers
    from amssim.checkpoint.safetensors.reader import TensorReader

#: Elements of a task: a hundredth of a second, so that little is done twice after a fault.
TASK_ELEMENTS = 1 << 22
#: Bytes of a task that converts nothing.
TASK_BYTES = 1 << 23


class Piece(NamedTuple):
    """Bytes ``start`` to ``stop`` of a stored tensor."""

    name: str
    start: int
    stop: int


def ranges(tensor: LogicalTensor, *, as_bytes: bool) -> Iterator[tuple[int, int]]:
    """Yield ranges of rows of at most `TASK_ELEMENTS` (or one row), or of `TASK_BYTES` bytes.

    The matrices of a 3-D tensor count as stacked: a range is some whole ones, or rows of one.
    """
    if as_bytes:
        yield from cut(0, tensor.nbytes, TASK_BYTES)
        return
    rows, columns = rows_and_columns(tensor.shape)
    step, matrix = max(1, TASK_ELEMENTS // columns), tensor.shape[-2]
    if step >= matrix:
        yield from cut(0, rows, step // matrix * matrix)
        return
    for first in range(0, rows, matrix):
        yield from cut(first, first + matrix, step)


def cut(start: int, stop: int, step: int) -> Iterator[tuple[int, int]]:
    """Yield ranges of ``step`` that cover start..stop.

    >>> list(cut(0, 7, 3))
    [(0, 3), (3, 6), (6, 7)]
    """
    for first in range(start, stop, step):
        yield first, min(first + step, stop)


def pieces_of(tensor: LogicalTensor, start: int, stop: int, *, as_bytes: bool) -> list[Piece]:
    """Return the stored pieces of some rows of a tensor, or of some bytes of a plain one.

    The logical shape of a packed tensor goes with its first row.
    """
    if as_bytes:
        return [Piece(tensor.name, start, stop)]
    rows, _ = rows_and_columns(tensor.shape)
    found = []
    for spec in tensor.stored:
        if tensor.packing and spec.name == tensor.name + SHAPE:
            found += [Piece(spec.name, 0, spec.nbytes)] if start == 0 else []
        else:
            row_bytes = spec.nbytes // rows
            found.append(Piece(spec.name, start * row_bytes, stop * row_bytes))
    return found


def weights_of(tensor: LogicalTensor, start: int, stop: int, *, as_bytes: bool) -> int:
    """Return how many elements some rows, or some bytes, of a tensor are."""
    whole = tensor.nbytes if as_bytes else rows_and_columns(tensor.shape)[0]
    return tensor.weight_count * stop // whole - tensor.weight_count * start // whole


def read_pieces(
    reader: TensorReader, pieces: Iterable[Piece], room: Buffers, *, use: str = "read"
) -> list[np.ndarray]:
    """Return the bytes of pieces, in buffers of ``room`` that the next call for this ``use`` takes.

    Raises:
        FormatError: the file is shorter than its header says.
        InputError: it cannot be read.
    """
    found = []
    for number, (name, start, stop) in enumerate(pieces):
        raw = room.array(f"{use} {number}", stop - start)
        file, first, _ = reader.place(name)
        file.read_into(raw.data, first + start)
        found.append(raw)
    return found
