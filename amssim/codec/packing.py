"""Codes of a chunk to and from packed words, by the path its layout has."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from amssim._jit import inline, leaf, part
from amssim.codec.constants import Form
from amssim.codec.half_words import pack_fused, pack_quads, unpack_fused, unpack_quads
from amssim.codec.sharing import spread
from amssim.codec.streams import OVERRUN, pack_stream, unpack_stream
from amssim.layout import GROUPS_PER_BLOCK


class Chunk(NamedTuple):
    """Room for the codes of a chunk, also seen four and eight at a time, and what they lead to."""

    codes: np.ndarray  #: uint8[chunk_weights]
    quads: np.ndarray  #: the same as uint32, the first code lowest
    octets: np.ndarray  #: the same as uint64
    bits: np.ndarray  #: uint8, the shared bit of each group
    bit_octets: np.ndarray  #: the same as uint64
    members: np.ndarray  #: uint8, the shared bit of each code's group
    words: np.ndarray  #: uint16, the blocks packed, and the overrun of streams

    @classmethod
    def of(cls, form: Form) -> Chunk:
        """Allocate a chunk for ``form``."""
        count = -(-form.chunk_weights // 8)
        octets, bits, members = (np.zeros(count, np.uint64) for _ in range(3))
        words = form.chunk_weights // form.block_weights * form.block_words
        return cls(
            octets.view(np.uint8),
            octets.view(np.uint32),
            octets,
            bits.view(np.uint8),
            bits,
            members.view(np.uint8),
            np.zeros(words + OVERRUN, np.uint16),
        )


@inline
def pack_chunk(chunk, count, form, words):
    """Pack the first ``count`` codes; what pads them to whole blocks becomes zero.

    chunk  Chunk                                  its codes are lost; bits must be set for k > 1
    count  int
    form   Form
    words  uint16[>= half-words of those blocks]  written
    """
    blocks, groups = blocks_of(count, form), groups_of(count, form)
    clear(chunk.codes[count : blocks * form.block_weights])
    if form.fused:
        pack_fused(chunk.codes, blocks, form.k, words)
        return
    clear(chunk.bits[groups : blocks * GROUPS_PER_BLOCK])
    if is_quads(form):
        pack_quads(chunk.quads, chunk.bit_octets, blocks, form.block_weights // form.k, words)
    else:
        pack_stream(chunk.octets, chunk.bit_octets, blocks, form, chunk.words)
        copy(chunk.words[: blocks * form.block_words], words)


@inline
def unpack_chunk(words, count, form, chunk):
    """Unpack the blocks that hold ``count`` codes; the arguments are those of `pack_chunk`."""
    blocks = blocks_of(count, form)
    if form.fused:
        unpack_fused(words, blocks, form.k, chunk.codes)
    elif is_quads(form):
        unpack_quads(words, blocks, form.block_weights // form.k, chunk.quads)
    else:
        copy(words[: blocks * form.block_words], chunk.words)
        unpack_stream(chunk.words, blocks, form, chunk.octets, chunk.bit_octets)
        if form.k > 1:
            spread(chunk.bits, blocks * GROUPS_PER_BLOCK, form.k, chunk.members)
            _put_last_bits(chunk.members, blocks * form.block_weights, chunk.codes)


@leaf
def blocks_of(count, form):
    """Blocks that hold ``count`` weights."""
    return (count + form.block_weights - 1) // form.block_weights


@leaf
def groups_of(count, form):
    """Groups that hold ``count`` weights."""
    return (count + form.k - 1) // form.k


@leaf
def is_quads(form):
    """Whether four top codes of 4 bits fill a half-word."""
    return form.k == 4 and form.field_bits == 4


@part
def copy(source, target):
    """Copy all of ``source`` to the start of ``target``."""
    for j in range(source.shape[0]):
        target[j] = source[j]


@part
def clear(bytes_):
    """Make all of a uint8 array zero."""
    for j in range(bytes_.shape[0]):
        bytes_[j] = np.uint8(0)


@part
def _put_last_bits(members, count, codes):
    for j in range(count):
        codes[j] = np.uint8(codes[j] | members[j])
