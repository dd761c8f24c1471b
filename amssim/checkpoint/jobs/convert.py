"""What a task does to its rows: bytes are copied, weights are packed or unpacked."""

from __future__ import annotations

import re
from collections.abc import Iterator

import ml_dtypes
import numpy as np

from amssim._checks import find_wrong
from amssim.checkpoint.jobs.buffers import Buffers
from amssim.checkpoint.jobs.job import Step
from amssim.checkpoint.jobs.pieces import pieces_of, ranges, read_pieces
from amssim.checkpoint.packed.stored import LogicalTensor, Packing
from amssim.checkpoint.safetensors.array_dtypes import ARRAY_DTYPES
from amssim.checkpoint.safetensors.reader import TensorReader
from amssim.errors import FormatError, InputError
from amssim.tensor.packed import PackedTensor
from amssim.tensor.quantize import dequantize, quantize


def convert(
    step: Step, start: int, read: list[np.ndarray], reader: TensorReader, room: Buffers
) -> list[np.ndarray]:
    """Return what is stored of some rows of a tensor, from ``start`` on, piece by piece.

    ``read`` holds the bytes of their pieces before. The result is valid until ``room`` is used.

    Raises:
        InputError: weights that are not finite, or do not fit the new dtype.
        FormatError: scales that are not finite and positive.
    """
    if step.is_copy:
        return read
    if step.before.packing:
        return [_dequantize(step, read, reader, room)]
    packed = _quantize(step, read[0], reader, room)
    parts = [packed.words, packed.scales]
    return [*parts, np.array(step.after.shape, "<i8")] if start == 0 else parts


def plain_rows(tensor: LogicalTensor, raw: np.ndarray) -> np.ndarray:
    """Return the bytes of rows of a tensor as dtype[rows, columns]."""
    return raw.view(ARRAY_DTYPES[tensor.dtype]).reshape(-1, tensor.shape[-1])


def packed_rows(
    reader: TensorReader, tensor: LogicalTensor, read: list[np.ndarray]
) -> PackedTensor:
    """Return the bytes of words and scales of some rows as a packed tensor.

    Raises:
        FormatError: scales that are not finite and positive.
    """
    packing, columns = tensor.check_packed(), tensor.shape[-1]
    blocks = -(-columns // packing.scale_block) if packing.scale_block else 1
    scales = read[1].view(np.float32).reshape(-1, blocks)
    words = read[0].view(np.uint16).reshape(len(scales), -1)
    try:
        shape = len(words), columns
        return PackedTensor(packing.scheme, shape, words, scales, packing.scale_block)
    except InputError as error:
        raise FormatError(f"{reader.header.path}: packed tensor {tensor.name!r}: {error}") from None


def quantize_as(weights: np.ndarray, packing: Packing, name: str) -> PackedTensor:
    """Quantise rows of tensor ``name`` as ``packing`` says, in this thread alone.

    Raises:
        InputError: weights that are not finite.
        UnsupportedError: a packing without its rules.
    """
    search, scale = packing.rules(name)
    return quantize(
        weights,
        packing.scheme,
        search=search,
        scale=scale,
        scale_block=packing.scale_block,
        threads=1,
        name=name,
    )


def _quantize(step: Step, raw: np.ndarray, reader: TensorReader, room: Buffers) -> PackedTensor:
    tensor = step.before
    try:
        return quantize_as(plain_rows(tensor, raw), step.after.check_packed(), tensor.name)
    except InputError:
        _check_finite(tensor, reader, room)  # says where in the whole tensor, not in these rows
        raise


def _check_finite(tensor: LogicalTensor, reader: TensorReader, room: Buffers) -> None:
    wrong = find_wrong(_all_rows(tensor, reader, room))
    if wrong.total:
        row, column = wrong.first
        first = [*row_index(tensor.shape, row), column]
        raise InputError(
            f"{reader.header.path}: tensor {tensor.name!r} holds {wrong.total} NaN or Inf, the "
            f"first at {first}: mend it, or keep the tensor by the rule "
            f"'{re.escape(tensor.name)}=keep', or all such by --on-nan keep"
        )


def row_index(shape: tuple[int, ...], row: int) -> list[int]:
    """Return the index of a row when the matrices of ``shape`` are stacked.

    >>> row_index((3, 10, 4), 25)
    [2, 5]
    """
    return [int(i) for i in np.unravel_index(row, shape[:-1])]


def _all_rows(
    tensor: LogicalTensor, reader: TensorReader, room: Buffers
) -> Iterator[tuple[tuple[int, ...], np.ndarray]]:
    for start, stop in ranges(tensor, as_bytes=False):
        (raw,) = read_pieces(reader, pieces_of(tensor, start, stop, as_bytes=False), room)
        yield (start,), plain_rows(tensor, raw)


def _dequantize(
    step: Step, read: list[np.ndarray], reader: TensorReader, room: Buffers
) -> np.ndarray:
    packed, dtype = packed_rows(reader, step.before, read), ARRAY_DTYPES[step.after.dtype]
    weights = room.array("weights", packed.shape, dtype)
    dequantize(packed, dtype, out=weights, threads=1)
    if not _must_be_finite(packed, dtype) and not np.isfinite(weights).all():
        raise InputError(
            f"{reader.header.path}: tensor {step.after.name!r} exceeds the range of {dtype}: "
            "choose a wider dtype"
        )
    return weights


def _must_be_finite(packed: PackedTensor, dtype: np.dtype) -> bool:
    """Whether no weight can exceed ``dtype``, by the largest scale alone."""
    largest = np.float64(packed.scales.max()) * packed.scheme.minifloat.max_value
    limit = ml_dtypes.finfo(dtype).max  # type: ignore[no-untyped-call]
    return bool(largest <= np.float64(limit))
