"""The weights of a chunk to codes: each is drafted, its group votes, and codes follow.

Drafts and votes are explained in `amssim.codec.elements`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from amssim._jit import inline, part
from amssim.codec.bands import read_only
from amssim.codec.constants import ElementNumbers, LayoutNumbers, element_numbers, layout_numbers
from amssim.codec.elements import ADAPTIVE, REPLACE, draft
from amssim.codec.packing import Chunk, bits_to_members, groups_of, per_group_size
from amssim.scheme import GROUP_SIZES, Scheme

_ZEROS = np.zeros(GROUP_SIZES[-1], np.float32)


class Encoder(NamedTuple):
    """A rule and what it needs: constants, and room for a chunk."""

    element: ElementNumbers
    layout: LayoutNumbers
    search: int  #: index in SEARCH_RULES
    importance: np.ndarray  #: float32[columns], or empty
    chunk: Chunk
    votes: np.ndarray  #: float32[chunk_weights]

    @classmethod
    def of(cls, scheme: Scheme, search: int, importance: np.ndarray) -> Encoder:
        """Allocate an encoder for one thread."""
        layout = layout_numbers(scheme)
        votes = np.empty(layout.chunk_weights, np.float32)
        constants = element_numbers(scheme.minifloat), layout
        return cls(*constants, search, read_only(importance), Chunk.of(layout), votes)


@inline
def put(encoder, weights, scale, at):
    """Draft weights / scale as weights ``at`` and following of the chunk.

    encoder  Encoder
    weights  float32[n]
    scale    float32
    at       int
    """
    drafts, votes = encoder.chunk.codes[at:], encoder.votes[at:]
    draft(weights, scale, encoder.element, encoder.search, drafts, votes)


@inline
def put_zeros(encoder, start, stop):
    """Draft zeros as weights start..stop of the chunk, fewer than a group."""
    if start < stop:
        put(encoder, _ZEROS[: stop - start], np.float32(1), start)


@inline
def settle(encoder, column, count):
    """Turn the chunk's ``count`` drafts, of columns from ``column`` on, into codes and bits.

    Zeros pad the last group and vote too. Where errors decide, importance weighs them, and that
    of the padding is 0.
    """
    chunk, votes, importance = encoder.chunk, encoder.votes, encoder.importance
    k, groups = encoder.layout.k, groups_of(count, encoder.layout)
    put_zeros(encoder, count, groups * k)
    if importance.shape[0] > 0 and encoder.search in (ADAPTIVE, REPLACE):
        weigh(votes, importance[column : column + count])
        weigh(votes[count:], _ZEROS[: groups * k - count])
    elect(votes, groups, k, chunk.bits)
    bits_to_members(chunk.bits, groups, k, chunk.members)
    commit(chunk.codes, chunk.members, groups * k, np.uint8(encoder.element.sign))


@part
def weigh(votes, importance):
    """Multiply the first votes by ``importance``, float32[n]."""
    for j in range(importance.shape[0]):
        votes[j] *= importance[j]


@per_group_size
def elect(votes, groups, k, bits):
    """bits[g] = 1 if the sum of group g's votes, first to last, is negative, else 0.

    votes   float32[>= groups * k]
    groups  int
    k       int
    bits    uint8[>= groups]        written
    """
    for g in range(groups):
        total = votes[g * k]
        for i in range(1, k):
            total += votes[g * k + i]
        bits[g] = np.uint8(1) if total < np.float32(0) else np.uint8(0)


@part
def commit(codes, members, count, sign):
    """Make codes of drafts, in place.

    codes    uint8[>= count]  drafts, then codes
    members  uint8[>= count]  the shared bit of each one's group
    count    int
    sign     uint8            the sign bit of a code
    """
    for j in range(count):
        low = np.uint8(codes[j] & np.uint8(1))
        down = np.uint8(np.uint8(low & members[j]) << np.uint8(1))
        code = np.uint8(np.uint8(np.uint8(codes[j] - low) + members[j]) - down)
        codes[j] = code if code != sign else np.uint8(0)  # negative zero is never written
