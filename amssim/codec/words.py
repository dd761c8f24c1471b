"""Codes to half-words and back, by the three ways in which layouts store them.

*Fused*: the top bits of a group and its shared bit fill a half-word, as in FP5.33; 3 x 5 or 5 x 3
top bits. *Quads*: four tops of 4 bits fill it and a block's shared bits follow, as in FP4.25.
*Streams*, every other layout: the fields of a block one after the other, then its shared bits.
The first two could be written as streams; they are much faster so.

Codes are handled eight at a time where it helps, as an *octet*: a uint64 whose bytes are eight
codes, the first one lowest. All blocks here are the layout's.
"""

from __future__ import annotations

import numpy as np

from amssim._jit import inline, leaf, part
from amssim.layout import HALF_WORD_BITS

#: Half-words that `pack_stream` and `unpack_stream` touch past the end of the last block.
OVERRUN = 8
_UINT64_WORDS = 4
_LAST = np.uint16(HALF_WORD_BITS - 1)
_HALF_WORD = np.uint32(0xFFFF)
_EACH_BYTE = np.uint32(0x01010101)
_BYTE_OF_16 = np.uint32(0x00FF00FF)
_QUAD_TOPS = np.uint32(0x0F0F0F0F)
_ONE = np.uint64(1)
_PER_BYTE = np.uint64(0x0101010101010101)  # 1 in every byte
_PER_16 = np.uint64(0x0001000100010001)
_PER_32 = np.uint64(0x0000000100000001)

# --- fused: a group is a half-word --------------------------------------------------------------


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


# --- quads: four tops are a half-word, a block's shared bits are its last one -------------------

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


# --- streams: the fields of two octets fill ``field_bits`` half-words ---------------------------
#
# Such a pair moves as two uint64, 8 half-words. Those past its own are overwritten by the next
# pair, or at the end by nobody: hence `OVERRUN`.


@part
def pack_stream(octets, bit_octets, blocks, layout, words):
    """Pack whole blocks: one pair of octets after the other, then the half-word of shared bits.

    octets      uint64[blocks * block_weights / 8]        codes, eight each; overwritten
    bit_octets  uint64[2 * blocks]                        shared bits, eight each
    blocks      int
    layout      LayoutNumbers
    words       uint16[blocks * block_words + OVERRUN]    written
    """
    width, drop = np.uint64(layout.field_bits), np.uint64(1 if layout.k > 1 else 0)
    keep = np.uint64(_PER_BYTE * np.uint64(np.uint64(255) >> drop))
    for i in range(2 * blocks * layout.k):  # a loop of its own: it vectorises
        octets[i] = together(np.uint64(np.uint64(octets[i] >> drop) & keep), width)
    for pair in range(blocks * layout.k):
        at = _pair_words(pair, layout)
        first, second = join(octets[2 * pair], octets[2 * pair + 1], width)
        _store(first, words, at)
        _store(second, words, at + _UINT64_WORDS)
    if layout.k > 1:
        for b in range(blocks):
            words[(b + 1) * layout.block_words - 1] = shared_word(bit_octets, b)


@part
def unpack_stream(words, blocks, layout, octets, bit_octets):
    """The inverse of `pack_stream`; the codes of a group still lack their shared bit."""
    width, raised = np.uint64(layout.field_bits), np.uint64(1 if layout.k > 1 else 0)
    for pair in range(blocks * layout.k):
        at = _pair_words(pair, layout)
        first, second = _load(words, at), _load(words, at + _UINT64_WORDS)
        octets[2 * pair], octets[2 * pair + 1] = halve(first, second, width)
    if layout.k > 1:
        for b in range(blocks):
            shared = np.uint64(words[(b + 1) * layout.block_words - 1])
            bit_octets[2 * b] = apart(shared, np.uint64(1))
            bit_octets[2 * b + 1] = apart(np.uint64(shared >> np.uint64(8)), np.uint64(1))
    for i in range(2 * blocks * layout.k):
        octets[i] = np.uint64(apart(octets[i], width) << raised)


@leaf
def _pair_words(pair, layout):
    """Half-words before a pair: those of the pairs before it, and of their blocks' shared bits."""
    return pair * layout.field_bits + (pair // layout.k if layout.k > 1 else 0)


@leaf
def shared_word(bit_octets, block):
    """The shared bits of a block's 16 groups, the first group's lowest."""
    low = together(bit_octets[2 * block], np.uint64(1))
    high = together(bit_octets[2 * block + 1], np.uint64(1))
    return np.uint16(np.uint64(low | np.uint64(high << np.uint64(8))) & np.uint64(0xFFFF))


@leaf
def _store(value, words, at):
    for i in range(_UINT64_WORDS):
        part_of = np.uint64(value >> np.uint64(HALF_WORD_BITS * i))
        words[np.uint64(at + i)] = np.uint16(part_of & np.uint64(0xFFFF))


@leaf
def _load(words, at):
    value = np.uint64(0)
    for i in range(_UINT64_WORDS):
        raised = np.uint64(np.uint64(words[np.uint64(at + i)]) << np.uint64(HALF_WORD_BITS * i))
        value = np.uint64(value | raised)
    return value


# --- octets: eight fields of 1 to 8 bits, apart in the bytes of a uint64 or close together ------
#
# They move in three steps, all lanes of the integer at once: into twos, fours, eights.


@leaf
def together(fields, width):
    """Close the gaps: field i moves from bit 8 i to bit width * i. All uint64."""
    two, four = np.uint64(width << _ONE), np.uint64(width << np.uint64(2))
    fields = _pull(fields, width, np.uint64(8), _PER_16)
    fields = _pull(fields, two, np.uint64(16), _PER_32)
    return _pull(fields, four, np.uint64(32), _ONE)


@leaf
def apart(fields, width):
    """The inverse of `together`; bits past the eighth field are ignored."""
    two, four = np.uint64(width << _ONE), np.uint64(width << np.uint64(2))
    fields = _push(fields, four, np.uint64(32), _ONE)
    fields = _push(fields, two, np.uint64(16), _PER_32)
    return _push(fields, width, np.uint64(8), _PER_16)


@leaf
def _pull(x, width, lane, per_pair):
    """Move the upper of each two fields down from bit ``lane`` to the lower one's end."""
    lower = _mask(width, per_pair)
    moved = np.uint64(np.uint64(x >> np.uint64(lane - width)) & np.uint64(lower << width))
    return np.uint64(np.uint64(x & lower) | moved)


@leaf
def _push(x, width, lane, per_pair):
    """Move the upper of each two fields up from the lower one's end to bit ``lane``."""
    lower = _mask(width, per_pair)
    moved = np.uint64(np.uint64(x << np.uint64(lane - width)) & np.uint64(lower << lane))
    return np.uint64(np.uint64(x & lower) | moved)


@leaf
def _mask(width, per_pair):
    return np.uint64(per_pair * np.uint64(np.uint64(_ONE << width) - _ONE))


@leaf
def join(low, high, width):
    """The bits of two octets as 128, the least significant uint64 first."""
    four = np.uint64(width << np.uint64(2))  # twice: a shift by 64 at once would be undefined
    rest = np.uint64(np.uint64(32) - four)
    first = np.uint64(low | np.uint64(np.uint64(high << four) << four))
    return first, np.uint64(np.uint64(high >> rest) >> rest)


@leaf
def halve(first, second, width):
    """The inverse of `join`; above the bits of an octet are others."""
    four = np.uint64(width << np.uint64(2))
    rest = np.uint64(np.uint64(32) - four)
    high = np.uint64(np.uint64(first >> four) >> four)
    return first, np.uint64(high | np.uint64(np.uint64(second << rest) << rest))
