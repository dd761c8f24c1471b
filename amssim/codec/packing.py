"""Codes of a chunk to and from packed words, by the path its layout has."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from amssim._jit import inline
from amssim.codec.constants import Form
from amssim.codec.half_words import pack_fused, pack_quads, unpack_fused, unpack_quads
from amssim.codec.streams import pack_stream, unpack_stream


class Chunk(NamedTuple):
    """Room for the codes of a chunk: one memory, also seen four and eight codes at a time."""

    codes: np.ndarray
    quads: np.ndarray
    octets: np.ndarray
    bits: np.ndarray  #: uint8, the shared bit of each group
    members: np.ndarray  #: uint8, of each weight

    @classmethod
    def of(cls, form: Form) -> Chunk:
        """Allocate a chunk for ``form``, in whole octets."""
        octets = np.zeros(-(-form.chunk_weights // 8), np.uint64)
        codes = octets.view(np.uint8)
        bits, members = np.zeros_like(codes), np.zeros_like(codes)
        return cls(codes, octets.view(np.uint32), octets, bits, members)


@inline
def pack_chunk(chunk, count, form, words):
    """Pack the first ``count`` codes; those that pad them to whole blocks become zero.

    chunk  Chunk
    count  int
    form   Form
    words  uint16[half-words of those blocks]  written
    """
    blocks = (count + form.block_weights - 1) // form.block_weights
    for j in range(count, blocks * form.block_weights):
        chunk.codes[j] = np.uint8(0)
    if form.fused:
        pack_fused(chunk.codes, blocks, form.k, words)
    elif form.k == 4 and form.field_bits == 4:
        pack_quads(chunk.quads, blocks, form.block_weights // form.k, words)
    else:
        pack_stream(chunk.codes, chunk.octets, blocks, form, words)


@inline
def unpack_chunk(words, count, form, chunk):
    """Unpack the blocks that hold ``count`` codes; the arguments are those of `pack_chunk`."""
    blocks = (count + form.block_weights - 1) // form.block_weights
    if form.fused:
        unpack_fused(words, blocks, form.k, chunk.codes)
    elif form.k == 4 and form.field_bits == 4:
        unpack_quads(words, blocks, form.block_weights // form.k, chunk.quads)
    else:
        unpack_stream(words, blocks, form, chunk)
