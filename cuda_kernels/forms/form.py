"""What a kernel form is: how 8 or 6 weights lie in a word so that few instructions decode it.

A *unit* is 16 rows x ``unit_weights`` columns, 512 bytes: lane 4g + t holds, as one 16-byte load,
four words of the rows g and g + 8. A word's low half is one group of weights, its high half the
next; decoding yields half2 registers (k_i, k_i + group) that are mma fragments as they stand.

Weights decode to float16 bits with the sign at 15, the exponent at 11:10 and the mantissa below,
which reads value * 2^-14 exactly, subnormals included (docs/FORMAT.md, section 5).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from amssim.launch.geometry import BURST, TILE_ROWS, burst_bytes, unit_columns, units_of
from amssim.minifloat import Minifloat

#: what decoded weights must be multiplied by
VALUE_SCALE = 2.0**14

#: every form that was made, by its name
_BY_NAME: dict[str, Form] = {}


@dataclass(frozen=True)
class HostWords:
    """A form's words on the CPU, vectorised.

    Args:
        join: codes uint8[..., group] of both halves, whose groups share their last bit, -> uint32
            words without shared bits that lie apart.
        split: (words, shared bits of each) -> the half2 registers that they decode to.
        row_half_first: of the four words of a lane, 2 * (row half) + (part of the unit), or the
            other way round.
    """

    join: Callable[[np.ndarray, np.ndarray], np.ndarray]
    split: Callable[[np.ndarray, np.ndarray | None], tuple[np.ndarray, ...]]
    row_half_first: bool


@dataclass(frozen=True)
class DeviceWords:
    """A form's words on the GPU, a device function for each direction.

    Args:
        word: (canonical matrix, row, column) -> a word of the weights from there on, and its
            shared bits where decoders take them, if they lie apart.
        code: ((addresses of words and tails, units), row, column) -> the code of one weight.
    """

    word: Any
    code: Any


@dataclass(frozen=True, eq=False)
class Form:
    """One kernel form.

    Args:
        name: that of the published format it was made for.
        element: the minifloat that its codes are.
        group: weights of a half-word; they share their last bit.
        has_tails: shared bits lie apart, as 32 words per burst, from the top bits.
        decode: PTX function (a lane's four words of a unit, tail) -> fragments.
        host, device: how its words are made and read.
    """

    name: str
    element: Minifloat
    group: int
    has_tails: bool
    decode: Any
    host: HostWords
    device: DeviceWords

    def __post_init__(self) -> None:
        _BY_NAME[self.name] = self

    def __reduce__(self) -> tuple[Any, ...]:
        return form_named, (self.name,)

    def __repr__(self) -> str:
        return f"Form({self.name!r})"

    @property
    def pairs(self) -> int:
        """half2 registers per lane and row of a unit."""
        return 2 * self.group

    @property
    def unit_weights(self) -> int:
        """Columns of a unit."""
        return unit_columns(self.group)

    @property
    def piece_weights(self) -> int:
        """Columns of a unit that one lane holds."""
        return 2 * self.pairs

    def units(self, columns: int) -> int:
        """Units of a row, whole bursts."""
        return units_of(self.group, columns)

    def tiles(self, rows: int) -> int:
        """Row tiles."""
        return -(-rows // TILE_ROWS)

    def nbytes(self, rows: int, columns: int) -> int:
        """Bytes of a matrix in this form."""
        return self.tiles(rows) * (self.units(columns) // BURST) * burst_bytes(self.group)


def form_named(name: str) -> Form:
    """The form of that name; a pickled form is found again by it."""
    return _BY_NAME[name]
