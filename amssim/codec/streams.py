"""The general packed layout: a block's fields as a stream of bits, its shared bits after it.

Kernels for whole blocks of a chunk. ``octets`` is a view of ``codes``.
"""

from __future__ import annotations

import numpy as np

from amssim._jit import leaf, part
from amssim.codec.octets import PER_BYTE, apart, halve, join, together
from amssim.codec.sharing import spread
from amssim.layout import GROUPS_PER_BLOCK, HALF_WORD_BITS

_WORDS_OF_UINT64 = 64 // HALF_WORD_BITS


@part
def pack_stream(codes, octets, blocks, form, words):
    """Pack whole blocks of codes: a unit of 16 fields after the other, then the shared bits.

    codes   uint8[blocks * block_weights]
    octets  uint64[blocks * block_weights / 8]
    blocks  int
    form    Form
    words   uint16[blocks * block_words]        written
    """
    width = np.uint64(form.field_bits)
    drop = np.uint64(1 if form.k > 1 else 0)
    keep = np.uint64(PER_BYTE * np.uint64(np.uint64(255) >> drop))
    for b in range(blocks):
        at = b * form.block_words
        for unit in range(b * form.k, (b + 1) * form.k):
            low = together(np.uint64(np.uint64(octets[2 * unit] >> drop) & keep), width)
            high = together(np.uint64(np.uint64(octets[2 * unit + 1] >> drop) & keep), width)
            _store(low, high, form.field_bits, words, at)
            at += form.field_bits
        if form.k > 1:
            shared = np.uint32(0)
            for g in range(GROUPS_PER_BLOCK):
                bit = np.uint32(codes[(b * GROUPS_PER_BLOCK + g) * form.k] & np.uint8(1))
                shared = np.uint32(shared | np.uint32(bit << np.uint32(g)))
            words[at] = np.uint16(shared)


@part
def unpack_stream(words, blocks, form, chunk):
    """Unpack whole blocks.

    words   uint16[blocks * block_words]
    blocks  int
    form    Form
    chunk   Chunk                         its codes are written
    """
    width = np.uint64(form.field_bits)
    raise_by = np.uint64(1 if form.k > 1 else 0)
    for b in range(blocks):
        at = b * form.block_words
        for unit in range(b * form.k, (b + 1) * form.k):
            first, second = _load(words, at, form.field_bits)
            low, high = halve(first, second, width)
            chunk.octets[2 * unit] = np.uint64(apart(low, width) << raise_by)
            chunk.octets[2 * unit + 1] = np.uint64(apart(high, width) << raise_by)
            at += form.field_bits
        if form.k > 1:
            for g in range(GROUPS_PER_BLOCK):
                bit = np.uint16(np.uint16(words[at] >> np.uint16(g)) & np.uint16(1))
                chunk.bits[b * GROUPS_PER_BLOCK + g] = np.uint8(bit)
    if form.k > 1:
        spread(chunk.bits, blocks * GROUPS_PER_BLOCK, form.k, chunk.members)
        for j in range(blocks * form.block_weights):
            chunk.codes[j] = np.uint8(chunk.codes[j] | chunk.members[j])


@leaf
def _store(low, high, count, words, at):
    first, second = join(low, high, np.uint64(count))
    for i in range(count):
        part = first if i < _WORDS_OF_UINT64 else second
        by = np.uint64(HALF_WORD_BITS * (i % _WORDS_OF_UINT64))
        words[at + i] = np.uint16(np.uint64(part >> by) & np.uint64(0xFFFF))


@leaf
def _load(words, at, count):
    first = second = np.uint64(0)
    for i in range(count):
        by = np.uint64(HALF_WORD_BITS * (i % _WORDS_OF_UINT64))
        part = np.uint64(np.uint64(words[at + i]) << by)
        if i < _WORDS_OF_UINT64:
            first = np.uint64(first | part)
        else:
            second = np.uint64(second | part)
    return first, second
