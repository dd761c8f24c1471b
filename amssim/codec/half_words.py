"""Packed layouts in which a group's top bits share one half-word: fast paths.

Fused: the shared bit is the half-word's last; FP5.33, or any 3 x 5 or 5 x 3 top bits. Quads: four
4-bit tops fill it and the shared bits of a block follow; FP4.25. Arguments as in `streams`.
"""

from __future__ import annotations

import numpy as np

from amssim._jit import inline, part
from amssim.layout import HALF_WORD_BITS

_TOP = np.uint16(HALF_WORD_BITS - 1)
_EACH_BYTE = np.uint32(0x01010101)
_BYTE_OF_16 = np.uint32(0x00FF00FF)


@part
def pack_fused(codes, blocks, k, words):
    """words[g] = the top bits of group g's codes, first lowest, and its shared bit in bit 15."""
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
    width = (HALF_WORD_BITS - 1) // k
    for g in range(blocks):
        word = np.uint16(np.uint16(codes[g * k]) << _TOP)
        for i in range(k):
            top = np.uint16(codes[g * k + i] >> np.uint8(1))
            word = np.uint16(word | np.uint16(top << np.uint16(width * i)))
        words[g] = word


@inline
def _unpack_fused(words, blocks, k, codes):
    width = (HALF_WORD_BITS - 1) // k
    mask = np.uint16((1 << width) - 1)
    for g in range(blocks):
        shared = np.uint16(words[g] >> _TOP)
        for i in range(k):
            top = np.uint16(np.uint16(words[g] >> np.uint16(width * i)) & mask)
            codes[g * k + i] = np.uint8(np.uint16(top << np.uint16(1)) | shared)


@part
def pack_quads(quads, blocks, groups, words):
    """words[17 b + g] = the top bits of four codes, words[17 b + 16] the block's shared bits.

    quads   uint32[blocks * groups]  four codes each, the first lowest
    groups  int                      16; were it a constant, LLVM would unroll the loop over the
                                     groups before it could vectorise it: 0.11 ns a weight, not 0.05
    """
    for b in range(blocks):
        at = b * (groups + 1)
        shared = np.uint32(0)
        for g in range(groups):
            quad = quads[b * groups + g]
            shared = np.uint32(shared | np.uint32(np.uint32(quad & np.uint32(1)) << np.uint32(g)))
            tops = np.uint32(np.uint32(quad >> np.uint32(1)) & np.uint32(0x0F0F0F0F))
            pairs = np.uint32(np.uint32(tops | np.uint32(tops >> np.uint32(4))) & _BYTE_OF_16)
            words[at + g] = np.uint16(np.uint32(pairs | np.uint32(pairs >> np.uint32(8))))
        words[at + groups] = np.uint16(shared)


@part
def unpack_quads(words, blocks, groups, quads):
    """The inverse of `pack_quads`."""
    for b in range(blocks):
        at = b * (groups + 1)
        shared = np.uint32(words[at + groups])
        for g in range(groups):
            word = np.uint32(words[at + g])
            pairs = np.uint32(np.uint32(word | np.uint32(word << np.uint32(8))) & _BYTE_OF_16)
            tops = np.uint32(pairs | np.uint32(pairs << np.uint32(4)))
            tops = np.uint32(np.uint32(tops & np.uint32(0x0F0F0F0F)) << np.uint32(1))
            bit = np.uint32(np.uint32(shared >> np.uint32(g)) & np.uint32(1))
            quads[b * groups + g] = np.uint32(tops | np.uint32(bit * _EACH_BYTE))
