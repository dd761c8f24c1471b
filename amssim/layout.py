"""The canonical packed layout as data: where each bit of a row lies. docs/FORMAT.md, section 4.

A row is packed on its own into *blocks* of half-words (uint16, little-endian). The block's *top
stream* holds the fields of its weights one after the other, weight j in bits [w*j, w*j + w) of
the stream, bit n of the stream being bit n % 16 of half-word n // 16. The shared bits follow.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import lcm
from typing import Any, NamedTuple

from amssim.errors import InputError
from amssim.scheme import Scheme

HALF_WORD_BITS = 16
GROUPS_PER_BLOCK = 16
#: Activations of 16 bits whose rows are whole numbers of these begin at multiples of 16 bytes.
_ALIGNED_COLUMNS = 8


class BitField(NamedTuple):
    """``width`` bits of a block from stream bit ``offset``.

    ``kind`` is "top", the top bits of weight ``index``, or "shared", the bit of group ``index``.
    """

    kind: str
    index: int  # type: ignore[assignment]  # hides tuple.index
    offset: int
    width: int


@dataclass(frozen=True)
class Layout:
    """Sizes and bit positions of the packed rows of ``scheme``.

    >>> from amssim.scheme import scheme
    >>> fused = Layout(scheme("fp5.33"))
    >>> fused.block_weights, fused.block_words, fused.row_words(100)
    (3, 1, 34)
    >>> apart = Layout(scheme("fp4.25"))
    >>> apart.block_weights, apart.block_words, apart.row_words(100)
    (64, 17, 34)
    """

    scheme: Scheme

    @property
    def fused(self) -> bool:
        """Whether a group with its shared bit fills one half-word exactly."""
        s = self.scheme
        return s.k > 1 and s.top_bits * s.k + 1 == HALF_WORD_BITS

    @property
    def field_bits(self) -> int:
        """Bits of a weight in the top stream: its top bits, or its whole code where k = 1."""
        s = self.scheme
        return s.top_bits if s.k > 1 else s.minifloat.bits

    @property
    def block_groups(self) -> int:
        """Groups of a block."""
        return 1 if self.fused else GROUPS_PER_BLOCK

    @property
    def block_weights(self) -> int:
        """Weights of a block; rows are padded with zero codes to whole blocks."""
        return self.block_groups * self.scheme.k

    @property
    def block_words(self) -> int:
        """Half-words of a block, the half-word of shared bits included."""
        bits = self.field_bits * self.block_weights
        if self.scheme.k > 1:
            bits += self.block_groups
        return bits // HALF_WORD_BITS

    @property
    def shared_offset(self) -> int | None:
        """Stream bit of group 0's shared bit, those of other groups following; None where k = 1."""
        return self.field_bits * self.block_weights if self.scheme.k > 1 else None

    @property
    def fields(self) -> tuple[BitField, ...]:
        """Every field of a block in stream order."""
        width = self.field_bits
        tops = [BitField("top", j, width * j, width) for j in range(self.block_weights)]
        if self.shared_offset is None:
            return tuple(tops)
        first = self.shared_offset
        shared = [BitField("shared", g, first + g, 1) for g in range(self.block_groups)]
        return tuple(tops + shared)

    def as_dict(self) -> dict[str, Any]:
        """Return the sizes of a block and every field of it, for JSON."""
        return {
            "scheme": self.scheme.name,
            "block_weights": self.block_weights,
            "block_half_words": self.block_words,
            "fields": [field._asdict() for field in self.fields],
        }

    def row_blocks(self, columns: int) -> int:
        """Blocks of a row with ``columns`` weights."""
        return -(-columns // self.block_weights)

    def row_words(self, columns: int) -> int:
        """Half-words of a row with ``columns`` weights."""
        return self.row_blocks(columns) * self.block_words

    def row_groups(self, columns: int) -> int:
        """Groups that hold at least one weight of a row with ``columns`` weights."""
        return -(-columns // self.scheme.k)

    def padded_columns(self, columns: int) -> int:
        """Weights of a row with its padding."""
        return self.row_blocks(columns) * self.block_weights


@lru_cache(maxsize=256)
def layout(scheme: Scheme) -> Layout:
    """Return the canonical layout of ``scheme``."""
    return Layout(scheme)


class Cover(NamedTuple):
    """Whole blocks of a row that hold some of its columns; all ranges count from the row's start.

    Attributes:
        columns: those that the blocks hold, which may end behind the row.
        words: the half-words of the blocks; what lies behind the row's own is to be zero.
        scales: the scale blocks of these columns; those behind the row's own are to be zero.
        skip: columns of the cover in front of the first one that was asked for.
        behind: columns of it after the last.
    """

    columns: range
    words: range
    scales: range
    skip: int
    behind: int


def cover(layout: Layout, start: int, stop: int, *, scale_block: int | None = None) -> Cover:
    """Return the blocks of a packed row that hold its columns ``start`` to ``stop``.

    The product of these blocks with x[start:stop] between ``skip`` and ``behind`` zeros is what
    the columns add to the row's product, so rows can be cut between any columns. Covers begin and
    end at multiples of 8 columns, and begin with a scale block.

    Args:
        layout: of the row's scheme.
        start, stop: columns, of which there is at least one.
        scale_block: columns per scale, None for whole rows.

    Raises:
        InputError: no columns, or a scale block below 1.

    >>> from amssim.scheme import scheme
    >>> cover(Layout(scheme("fp5.33")), 2048, 4096)
    Cover(columns=range(2040, 4104), words=range(680, 1368), scales=range(0, 1), skip=8, behind=8)
    """
    if not 0 <= start < stop or (scale_block is not None and scale_block < 1):
        raise InputError(
            f"no columns to cover: start {start}, stop {stop}, scale_block {scale_block}"
        )
    unit = lcm(layout.block_weights, _ALIGNED_COLUMNS)
    first_unit = lcm(unit, scale_block or 1)
    first, last = start // first_unit * first_unit, -(-stop // unit) * unit
    words = (column // layout.block_weights * layout.block_words for column in (first, last))
    scales = range(first // scale_block, -(-last // scale_block)) if scale_block else range(1)
    return Cover(range(first, last), range(*words), scales, start - first, last - stop)
