"""Weights of a chunk to codes: drafts, then the groups' choice."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from amssim._jit import inline, part
from amssim.codec.blocks import read_only
from amssim.codec.constants import Element, Form, element, form
from amssim.codec.packing import Chunk, groups_of
from amssim.codec.rounding import ADAPTIVE, REPLACE, draft
from amssim.codec.sharing import commit, elect, spread
from amssim.scheme import GROUP_SIZES, Scheme

_ZEROS = np.zeros(GROUP_SIZES[-1], np.float32)


class Encoder(NamedTuple):
    """A rule and what it needs: constants, and room for a chunk."""

    element: Element
    form: Form
    search: int  #: index in SEARCH_RULES
    importance: np.ndarray  #: float32[columns], or empty
    chunk: Chunk
    votes: np.ndarray  #: float32[chunk_weights]

    @classmethod
    def of(cls, scheme: Scheme, search: int, importance: np.ndarray) -> Encoder:
        """Allocate an encoder for one thread."""
        layout = form(scheme)
        votes = np.empty(layout.chunk_weights, np.float32)
        constants = element(scheme.minifloat), layout
        return cls(*constants, search, read_only(importance), Chunk.of(layout), votes)


@inline
def put(encoder, weights, scale, at):
    """Draft weights / scale as members ``at`` and following of the chunk.

    encoder  Encoder
    weights  float32[n]
    scale    float32
    at       int
    """
    drafts, votes = encoder.chunk.codes[at:], encoder.votes[at:]
    draft(weights, scale, encoder.element, encoder.search, drafts, votes)


@inline
def put_zeros(encoder, start, stop):
    """Draft zeros as members start..stop, fewer than a group."""
    if start < stop:
        put(encoder, _ZEROS[: stop - start], np.float32(1), start)


@part
def weigh(votes, importance):
    """Multiply the first votes by ``importance``, float32[n]."""
    for j in range(importance.shape[0]):
        votes[j] *= importance[j]


@inline
def settle(encoder, column, count):
    """Turn the chunk's ``count`` drafts, of columns from ``column`` on, into codes and bits.

    Zeros pad the last group and vote too. Where errors decide, importance weighs them, and that
    of the padding is 0.
    """
    chunk, votes, importance = encoder.chunk, encoder.votes, encoder.importance
    k, groups = encoder.form.k, groups_of(count, encoder.form)
    put_zeros(encoder, count, groups * k)
    if importance.shape[0] > 0 and encoder.search in (ADAPTIVE, REPLACE):
        weigh(votes, importance[column : column + count])
        weigh(votes[count:], _ZEROS[: groups * k - count])
    elect(votes, groups, k, chunk.bits)
    spread(chunk.bits, groups, k, chunk.members)
    commit(chunk.codes, chunk.members, groups * k, np.uint8(encoder.element.sign))
