"""The four ways through the codec, row by row in chunks of whole blocks that stay in cache."""

from __future__ import annotations

from amssim._jit import jit, leaf
from amssim.codec.decoding import decode
from amssim.codec.encoding import put, settle
from amssim.codec.packing import copy, groups_of, pack_chunk, unpack_chunk
from amssim.codec.scales import absmax_scales
from amssim.codec.sharing import collect
from amssim.codec.validity import codes_are_valid


@jit
def quantize_rows(weights, scales, block, find_scales, encoder, words):
    """words = packed codes of weights / scales.

    weights      float32[rows, cols]
    scales       float32[rows, ceil(cols / block)]  written if find_scales, by the rule absmax
    block        int                                columns per scale
    find_scales  bool
    encoder      Encoder
    words        uint16[rows, half-words]           written
    """
    cols, form = weights.shape[1], encoder.form
    for r in range(weights.shape[0]):
        row = weights[r]
        if find_scales:
            absmax_scales(row, block, encoder.element.max_value, scales[r])
        for start in range(0, cols, form.chunk_weights):
            count = min(form.chunk_weights, cols - start)
            column = start
            while column < start + count:
                b = column // block
                stop = min((b + 1) * block, start + count)
                put(encoder, row[column:stop], scales[r, b], column - start)
                column = stop
            settle(encoder, start, count)
            pack_chunk(encoder.chunk, count, form, words[r, _words_before(start, form) :])


@jit
def dequantize_rows(words, scales, block, element, form, chunk, weights):
    """weights = value of the codes * scales.

    words    uint16[rows, half-words]
    scales   float32[rows, ceil(cols / block)]
    block    int                                columns per scale
    element  Element
    form     Form
    chunk    Chunk
    weights  float32[rows, cols]                written
    """
    cols = weights.shape[1]
    for r in range(weights.shape[0]):
        for start in range(0, cols, form.decode_weights):
            count = min(form.decode_weights, cols - start)
            unpack_chunk(words[r, _words_before(start, form) :], count, form, chunk)
            column = start
            while column < start + count:
                b = column // block
                stop = min((b + 1) * block, start + count)
                codes = chunk.codes[column - start :]
                decode(codes, scales[r, b], element, weights[r, column:stop])
                column = stop


@jit
def pack_rows(codes, form, chunk, words):
    """Pack codes; return whether all are in range and every group has one last bit.

    codes  uint8[rows, cols]
    form   Form
    chunk  Chunk
    words  uint16[rows, half-words]  written
    """
    valid = True
    for r in range(codes.shape[0]):
        for start in range(0, codes.shape[1], form.chunk_weights):
            count = min(form.chunk_weights, codes.shape[1] - start)
            copy(codes[r, start : start + count], chunk.codes)
            collect(chunk.codes, groups_of(count, form), form.k, chunk.bits)
            valid &= codes_are_valid(chunk, count, form)
            pack_chunk(chunk, count, form, words[r, _words_before(start, form) :])
    return valid


@jit
def unpack_rows(words, form, chunk, codes):
    """The inverse of `pack_rows`, with codes written."""
    for r in range(codes.shape[0]):
        for start in range(0, codes.shape[1], form.chunk_weights):
            count = min(form.chunk_weights, codes.shape[1] - start)
            unpack_chunk(words[r, _words_before(start, form) :], count, form, chunk)
            copy(chunk.codes[:count], codes[r, start:])


@leaf
def _words_before(column, form):
    return column // form.block_weights * form.block_words
