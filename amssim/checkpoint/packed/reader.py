"""Packed tensors out of a file, by rows: only the metadata says how to decode them."""

from __future__ import annotations

from collections.abc import Iterator

from amssim.checkpoint.packed.contents import Content
from amssim.checkpoint.packed.stored import SCALES, WORDS, rows_and_columns
from amssim.checkpoint.safetensors.header import Header
from amssim.checkpoint.safetensors.reader import Key, TensorReader, row_blocks
from amssim.errors import FormatError, InputError
from amssim.tensor.packed import PackedTensor


def packed_blocks(
    header: Header, content: Content, reader: TensorReader
) -> Iterator[tuple[Key, PackedTensor]]:
    """Yield a packed tensor in blocks of rows, with their key in the logical tensor.

    Raises:
        FormatError: scales that are not finite and positive.
    """
    for key in row_blocks(content.shape):
        first = key[0] * content.shape[1] if len(key) == 2 else 0
        rows = slice(first + key[-1].start, first + key[-1].stop)
        yield key, packed_rows(header, content, reader, rows)


def read_packed(header: Header, content: Content) -> PackedTensor:
    """Return a whole packed tensor."""
    rows, _ = rows_and_columns(content.shape)
    with TensorReader(header) as reader:
        return packed_rows(header, content, reader, slice(0, rows))


def packed_rows(
    header: Header, content: Content, reader: TensorReader, rows: slice
) -> PackedTensor:
    """Return some rows of a packed tensor, the matrices of a 3-D one stacked."""
    words = reader.rows(content.name + WORDS, (rows,))
    scales = reader.rows(content.name + SCALES, (rows,))
    packing = content.packing
    shape = (len(words), content.shape[-1])
    try:
        return PackedTensor(packing.scheme, shape, words, scales, packing.scale_block)
    except InputError as error:
        raise FormatError(f"{header.path}: packed tensor {content.name!r}: {error}") from None
