"""A chunk of a row: its codes to and from packed words, its groups' shared bits to and from codes.

A *chunk* is a stretch of a row of at most `LayoutNumbers.chunk_weights` weights, whole blocks but
at the row's end, that goes through the codec at a time and so stays in cache.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from amssim._jit import inline, leaf, part
from amssim.codec.constants import LayoutNumbers
from amssim.codec.words import (
    OVERRUN,
    pack_fused,
    pack_quads,
    pack_stream,
    unpack_fused,
    unpack_quads,
    unpack_stream,
)
from amssim.layout import GROUPS_PER_BLOCK


class Chunk(NamedTuple):
    """Room for the codes of a chunk, also seen four and eight at a time, and what they lead to."""

    codes: np.ndarray  #: uint8[chunk_weights]
    quads: np.ndarray  #: the same as uint32, the first code lowest
    octets: np.ndarray  #: the same as uint64
    bits: np.ndarray  #: uint8, the shared bit of each group
    bit_octets: np.ndarray  #: the same as uint64
    members: np.ndarray  #: uint8, for each code the shared bit of its group
    words: np.ndarray  #: uint16, the blocks packed, and the overrun of streams

    @classmethod
    def of(cls, layout: LayoutNumbers) -> Chunk:
        """Allocate a chunk for rows of ``layout``."""
        count = -(-layout.chunk_weights // 8)
        octets, bits, members = (np.zeros(count, np.uint64) for _ in range(3))
        words = layout.chunk_weights // layout.block_weights * layout.block_words
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
def pack_chunk(chunk, count, layout, words):
    """Pack the first ``count`` codes; what pads them to whole blocks becomes zero.

    chunk   Chunk                                  its codes are lost; bits must be set for k > 1
    count   int
    layout  LayoutNumbers
    words   uint16[>= half-words of those blocks]  written
    """
    blocks, groups = _blocks_of(count, layout), groups_of(count, layout)
    _clear(chunk.codes[count : blocks * layout.block_weights])
    if layout.fused:
        pack_fused(chunk.codes, blocks, layout.k, words)
        return
    _clear(chunk.bits[groups : blocks * GROUPS_PER_BLOCK])
    if _is_quads(layout):
        pack_quads(chunk.quads, chunk.bit_octets, blocks, layout.block_weights // layout.k, words)
    else:
        pack_stream(chunk.octets, chunk.bit_octets, blocks, layout, chunk.words)
        copy(chunk.words[: blocks * layout.block_words], words)


@inline
def unpack_chunk(words, count, layout, chunk):
    """Unpack the blocks that hold ``count`` codes; the arguments are those of `pack_chunk`."""
    blocks = _blocks_of(count, layout)
    if layout.fused:
        unpack_fused(words, blocks, layout.k, chunk.codes)
    elif _is_quads(layout):
        unpack_quads(words, blocks, layout.block_weights // layout.k, chunk.quads)
    else:
        copy(words[: blocks * layout.block_words], chunk.words)
        unpack_stream(chunk.words, blocks, layout, chunk.octets, chunk.bit_octets)
        if layout.k > 1:
            bits_to_members(chunk.bits, blocks * GROUPS_PER_BLOCK, layout.k, chunk.members)
            _put_last_bits(chunk.members, blocks * layout.block_weights, chunk.codes)


@leaf
def _blocks_of(count, layout):
    """Blocks that hold ``count`` weights."""
    return (count + layout.block_weights - 1) // layout.block_weights


@leaf
def groups_of(count, layout):
    """Groups that hold ``count`` weights."""
    return (count + layout.k - 1) // layout.k


@leaf
def _is_quads(layout):
    """Whether four top codes of 4 bits fill a half-word."""
    return layout.k == 4 and layout.field_bits == 4


@part
def copy(source, target):
    """Copy all of ``source`` to the start of ``target``."""
    for j in range(source.shape[0]):
        target[j] = source[j]


@part
def _clear(bytes_):
    """Make all of a uint8 array zero."""
    for j in range(bytes_.shape[0]):
        bytes_[j] = np.uint8(0)


@part
def _put_last_bits(members, count, codes):
    for j in range(count):
        codes[j] = np.uint8(codes[j] | members[j])


# --- a group's shared bit, and its members' ------------------------------------------------------


def per_group_size(loop):
    """Return ``loop(source, groups, k, target)`` as a part of kernels with copies for common k.

    Its loops over the groups vectorise where k is a constant.
    """
    copied = inline(loop)

    @part
    def run(source, groups, k, target):
        if k == 1:
            copied(source, groups, 1, target)
        elif k == 2:
            copied(source, groups, 2, target)
        elif k == 3:
            copied(source, groups, 3, target)
        elif k == 4:
            copied(source, groups, 4, target)
        elif k == 8:
            copied(source, groups, 8, target)
        else:
            copied(source, groups, k, target)

    return run


@per_group_size
def first_bits(codes, groups, k, bits):
    """bits[g] = last bit of group g's first code.

    codes   uint8[>= groups * k]
    groups  int
    k       int
    bits    uint8[>= groups]      written
    """
    for g in range(groups):
        bits[g] = np.uint8(codes[g * k] & np.uint8(1))


@per_group_size
def bits_to_members(bits, groups, k, members):
    """members[g * k + i] = bits[g] for every i below k.

    bits     uint8[>= groups]
    groups   int
    k        int
    members  uint8[>= groups * k]  written
    """
    for g in range(groups):
        for i in range(k):
            members[g * k + i] = bits[g]


@inline
def codes_are_valid(chunk, count, layout):
    """Whether ``count`` codes are in range and have the last bit of their group's first one.

    chunk   Chunk          its bits are those of the first ones
    count   int
    layout  LayoutNumbers
    """
    if layout.k == 1:
        return _match(chunk.codes, chunk.codes, count, layout.code_bits)
    bits_to_members(chunk.bits, groups_of(count, layout), layout.k, chunk.members)
    return _match(chunk.codes, chunk.members, count, layout.code_bits)


@part
def _match(codes, members, count, code_bits):
    too_large = np.uint8(0)
    differing = np.uint8(0)
    for j in range(count):
        too_large = np.uint8(too_large | codes[j])
        differing = np.uint8(differing | np.uint8(codes[j] ^ members[j]))
    too_large = np.uint8(np.uint32(too_large) >> np.uint32(code_bits))
    return np.uint8(too_large | np.uint8(differing & np.uint8(1))) == np.uint8(0)
