"""The general packed layout: a block's fields as a stream of bits, its shared bits after it.

Sixteen fields, a *unit*, are two octets of codes and fill ``field_bits`` half-words. A unit moves
as two uint64, 8 half-words; those past its own are the next unit's, or at the end nobody's.
"""

from __future__ import annotations

import numpy as np

from amssim._jit import leaf, part
from amssim.codec.octets import PER_BYTE, apart, halve, join, together
from amssim.layout import HALF_WORD_BITS

#: Half-words that a unit may touch past its own.
OVERRUN = 8
_UINT64_WORDS = 4


@part
def pack_stream(octets, bit_octets, blocks, form, words):
    """Pack whole blocks: a unit after the other, then the half-word of shared bits.

    octets      uint64[blocks * block_weights / 8]        codes, eight each; overwritten
    bit_octets  uint64[2 * blocks]                        shared bits, eight each
    blocks      int
    form        Form
    words       uint16[blocks * block_words + OVERRUN]    written
    """
    width, drop = np.uint64(form.field_bits), np.uint64(1 if form.k > 1 else 0)
    keep = np.uint64(PER_BYTE * np.uint64(np.uint64(255) >> drop))
    for i in range(2 * blocks * form.k):  # a loop of its own: it vectorises
        octets[i] = together(np.uint64(np.uint64(octets[i] >> drop) & keep), width)
    for unit in range(blocks * form.k):
        at = _unit_words(unit, form)
        first, second = join(octets[2 * unit], octets[2 * unit + 1], width)
        _store(first, words, at)
        _store(second, words, at + _UINT64_WORDS)
    if form.k > 1:
        for b in range(blocks):
            words[(b + 1) * form.block_words - 1] = shared_word(bit_octets, b)


@part
def unpack_stream(words, blocks, form, octets, bit_octets):
    """The inverse of `pack_stream`; the codes of a group still lack their shared bit."""
    width, raised = np.uint64(form.field_bits), np.uint64(1 if form.k > 1 else 0)
    for unit in range(blocks * form.k):
        at = _unit_words(unit, form)
        first, second = _load(words, at), _load(words, at + _UINT64_WORDS)
        octets[2 * unit], octets[2 * unit + 1] = halve(first, second, width)
    if form.k > 1:
        for b in range(blocks):
            shared = np.uint64(words[(b + 1) * form.block_words - 1])
            bit_octets[2 * b] = apart(shared, np.uint64(1))
            bit_octets[2 * b + 1] = apart(np.uint64(shared >> np.uint64(8)), np.uint64(1))
    for i in range(2 * blocks * form.k):
        octets[i] = np.uint64(apart(octets[i], width) << raised)


@leaf
def _unit_words(unit, form):
    """Half-words before a unit: those of the units before it, and of their blocks' shared bits."""
    return unit * form.field_bits + (unit // form.k if form.k > 1 else 0)


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
