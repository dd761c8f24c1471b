"""Packed layouts in which the top bits of a group fill a half-word: fast paths.

Fused: the shared bit is the half-word's last, as in FP5.33; 3 x 5 or 5 x 3 top bits. Quads: 4 x 4
top bits fill it and a block's shared bits follow, as in FP4.25. Arguments as in `streams`.
"""

from __future__ import annotations

import numpy as np

from amssim._jit import inline, part
from amssim.codec.streams import shared_word
from amssim.layout import HALF_WORD_BITS

_LAST = np.uint16(HALF_WORD_BITS - 1)
_HALF_WORD = np.uint32(0xFFFF)
_EACH_BYTE = np.uint32(0x01010101)
_BYTE_OF_16 = np.uint32(0x00FF00FF)
_QUAD_TOPS = np.uint32(0x0F0F0F0F)


@part
def pack_fused(codes, blocks, k, words):
    """words[g] = the top bits of group g, the first code's lowest, and its shared bit in bit 15."""
    if k == 3:
        _pack_fused(codes, blocks, 3, words)
    else:
        _pack_fused(codes, blocks, 5, words)


@part
def unpack_fused(words, blocks, k, codes):
    """The inverse of `pack_fused`."""
    if k == 3:
        _unpack_fused(words, blocks, 3, codes)
    else:
        _unpack_fused(words, blocks, 5, codes)


@inline
def _pack_fused(codes, blocks, k, words):
    width = HALF_WORD_BITS // k
    for g in range(blocks):
        word = np.uint16(np.uint16(codes[g * k]) << _LAST)
        for i in range(k):
            top = np.uint16(codes[g * k + i] >> np.uint8(1))
            word = np.uint16(word | np.uint16(top << np.uint16(width * i)))
        words[g] = word


@inline
def _unpack_fused(words, blocks, k, codes):
    width = HALF_WORD_BITS // k
    mask = np.uint16((1 << width) - 1)
    for g in range(blocks):
        shared = np.uint16(words[g] >> _LAST)
        for i in range(k):
            top = np.uint16(np.uint16(words[g] >> np.uint16(width * i)) & mask)
            codes[g * k + i] = np.uint8(np.uint16(top << np.uint16(1)) | shared)


# The number of groups is an argument in these two: were it a constant, LLVM would unroll the loop
# over the groups instead of vectorising it, 0.15 ns per weight instead of 0.05. Indices are
# unsigned because a signed one could count from the end, and the loads would not be contiguous.


@part
def pack_quads(quads, bit_octets, blocks, groups, words):
    """words[17 b + g] = the top bits of group g of block b, words[17 b + 16] the shared bits.

    quads       uint32[blocks * groups]  four codes each, the first lowest
    bit_octets  uint64[2 * blocks]       shared bits, eight each
    groups      int                      16
    """
    for b in range(blocks):
        at = b * (groups + 1)
        for g in range(groups):
            quad = quads[np.uint64(b * groups + g)]
            tops = np.uint32(np.uint32(quad >> np.uint32(1)) & _QUAD_TOPS)
            pairs = np.uint32(np.uint32(tops | np.uint32(tops >> np.uint32(4))) & _BYTE_OF_16)
            word = np.uint32(np.uint32(pairs | np.uint32(pairs >> np.uint32(8))) & _HALF_WORD)
            words[np.uint64(at + g)] = np.uint16(word)
        words[at + groups] = shared_word(bit_octets, b)


@part
def unpack_quads(words, blocks, groups, quads):
    """The inverse of `pack_quads`, with quads written."""
    for b in range(blocks):
        at = b * (groups + 1)
        shared = np.uint32(words[at + groups])
        for g in range(groups):
            word = np.uint32(words[np.uint64(at + g)])
            pairs = np.uint32(np.uint32(word | np.uint32(word << np.uint32(8))) & _BYTE_OF_16)
            tops = np.uint32(np.uint32(pairs | np.uint32(pairs << np.uint32(4))) & _QUAD_TOPS)
            bit = np.uint32(np.uint32(shared >> np.uint32(g)) & np.uint32(1))
            quad = np.uint32(np.uint32(tops + tops) | np.uint32(bit * _EACH_BYTE))
            quads[np.uint64(b * groups + g)] = quad
