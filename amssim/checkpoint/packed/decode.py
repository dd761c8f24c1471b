"""Tensors of a checkpoint as arrays and packed tensors, each checked against its checksum."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from amssim.checkpoint.packed.stored import SCALES, WORDS, LogicalTensor, rows_and_columns
from amssim.checkpoint.packed.sums import RunningSums
from amssim.checkpoint.safetensors.header import Header
from amssim.checkpoint.safetensors.reader import RowRange, TensorReader, row_ranges
from amssim.errors import FormatError, InputError
from amssim.tensor.packed import PackedTensor


def packed_ranges(
    reader: TensorReader, tensor: LogicalTensor, *, verify: bool = True
) -> Iterator[tuple[RowRange, PackedTensor]]:
    """Yield a packed tensor by ranges of rows in the logical tensor, each with its range.

    Raises:
        FormatError: scales that are not finite and positive.
        MismatchError: with ``verify``, after the last range: some of it is damaged.
    """
    sums = RunningSums(reader.header.path, tensor.sums if verify else {})
    for rows in row_ranges(tensor.shape):
        above = rows.outer[0] * tensor.shape[1] if rows.outer else 0
        yield rows, _packed_rows(reader, tensor, above + rows.start, above + rows.stop, sums)
    sums.check()


def read_packed(header: Header, tensor: LogicalTensor, *, verify: bool = True) -> PackedTensor:
    """Return a whole packed tensor, the matrices of a 3-D one stacked.

    Raises:
        FormatError: scales that are not finite and positive.
        MismatchError: with ``verify``, a tensor that is damaged.
    """
    sums = RunningSums(header.path, tensor.sums if verify else {})
    with TensorReader(header) as reader:
        packed = _packed_rows(reader, tensor, 0, rows_and_columns(tensor.shape)[0], sums)
    sums.check()
    return packed


def read_plain(header: Header, name: str, *, expected: int | None = None) -> np.ndarray:
    """Return a tensor that is stored as it is, checked if its CRC-32 is given.

    Raises:
        MismatchError: a tensor that is damaged.
        UnsupportedError: a dtype that no array has.
    """
    sums = RunningSums(header.path, {} if expected is None else {name: expected})
    with TensorReader(header) as reader:
        array = reader.whole(name)
    sums.add(name, array)
    sums.check()
    return array


def _packed_rows(
    reader: TensorReader, tensor: LogicalTensor, start: int, stop: int, sums: RunningSums
) -> PackedTensor:
    packing, rows = tensor.check_packed(), RowRange((), start, stop)
    words = reader.rows(tensor.name + WORDS, rows)
    scales = reader.rows(tensor.name + SCALES, rows)
    sums.add(tensor.name + WORDS, words)
    sums.add(tensor.name + SCALES, scales)
    shape = (len(words), tensor.shape[-1])
    try:
        return PackedTensor(packing.scheme, shape, words, scales, packing.scale_block)
    except InputError as error:
        raise FormatError(f"{reader.header.path}: packed tensor {tensor.name!r}: {error}") from None
