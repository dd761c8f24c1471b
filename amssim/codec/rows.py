"""The four ways through the codec, row by row, each row in chunks that stay in cache."""

from __future__ import annotations

from amssim._jit import jit, leaf
from amssim.codec.elements import decode
from amssim.codec.encoding import put, settle
from amssim.codec.packing import (
    codes_are_valid,
    copy,
    first_bits,
    groups_of,
    pack_chunk,
    unpack_chunk,
)
from amssim.codec.scales import absmax_scales


@jit
def quantize_rows(weights, scales, scale_block, find_scales, encoder, words):
    """words = packed codes of weights / scales.

    weights      float32[rows, cols]
    scales       float32[rows, ceil(cols / scale_block)]  written by the rule absmax if find_scales
    scale_block  int                                      columns per scale
    find_scales  bool
    encoder      Encoder
    words        uint16[rows, half-words]                 written
    """
    cols, layout = weights.shape[1], encoder.layout
    for r in range(weights.shape[0]):
        row = weights[r]
        if find_scales:
            absmax_scales(row, scale_block, encoder.element.max_value, scales[r])
        for start in range(0, cols, layout.chunk_weights):
            count = min(layout.chunk_weights, cols - start)
            column = start
            while column < start + count:
                b = column // scale_block
                stop = min((b + 1) * scale_block, start + count)
                put(encoder, row[column:stop], scales[r, b], column - start)
                column = stop
            settle(encoder, start, count)
            pack_chunk(encoder.chunk, count, layout, words[r, _words_before(start, layout) :])


@jit
def dequantize_rows(words, scales, scale_block, element, layout, chunk, weights):
    """weights = value of the codes * scales.

    words        uint16[rows, half-words]
    scales       float32[rows, ceil(cols / scale_block)]
    scale_block  int                                      columns per scale
    element      ElementNumbers
    layout       LayoutNumbers
    chunk        Chunk
    weights      float32[rows, cols]                      written
    """
    cols = weights.shape[1]
    for r in range(weights.shape[0]):
        for start in range(0, cols, layout.decode_weights):
            count = min(layout.decode_weights, cols - start)
            unpack_chunk(words[r, _words_before(start, layout) :], count, layout, chunk)
            column = start
            while column < start + count:
                b = column // scale_block
                stop = min((b + 1) * scale_block, start + count)
                codes = chunk.codes[column - start :]
                decode(codes, scales[r, b], element, weights[r, column:stop])
                column = stop


@jit
def pack_rows(codes, layout, chunk, words):
    """Pack codes; return whether all are in range and every group has one last bit.

    codes   uint8[rows, cols]
    layout  LayoutNumbers
    chunk   Chunk
    words   uint16[rows, half-words]  written
    """
    valid = True
    for r in range(codes.shape[0]):
        for start in range(0, codes.shape[1], layout.chunk_weights):
            count = min(layout.chunk_weights, codes.shape[1] - start)
            copy(codes[r, start : start + count], chunk.codes)
            first_bits(chunk.codes, groups_of(count, layout), layout.k, chunk.bits)
            valid &= codes_are_valid(chunk, count, layout)
            pack_chunk(chunk, count, layout, words[r, _words_before(start, layout) :])
    return valid


@jit
def unpack_rows(words, layout, chunk, codes):
    """The inverse of `pack_rows`, with codes written."""
    for r in range(codes.shape[0]):
        for start in range(0, codes.shape[1], layout.chunk_weights):
            count = min(layout.chunk_weights, codes.shape[1] - start)
            unpack_chunk(words[r, _words_before(start, layout) :], count, layout, chunk)
            copy(chunk.codes[:count], codes[r, start:])


@leaf
def _words_before(column, layout):
    """Half-words of a row's blocks before ``column``, which begins a block."""
    return column // layout.block_weights * layout.block_words
