"""The two kernel forms: how 8 or 6 weights lie in a 32-bit word so that few instructions decode it.

A *unit* is 16 rows x ``unit_weights`` columns, 512 bytes: lane 4g + t holds, as one 16-byte load,
four words of the rows g and g + 8. A word's low half is one group of weights, its high half the
next; decoding yields half2 registers (k_i, k_i + group) that are mma fragments as they stand.

Weights decode to float16 bits with the sign at 15, the exponent at 11:10 and the mantissa below,
which reads value * 2^-14 exactly, subnormals included (docs/FORMAT.md, section 5).
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from amssim.launch.geometry import BURST, TILE_ROWS, burst_bytes, unit_columns, units_of
from amssim.minifloat import Minifloat
from amssim.scheme import Scheme

#: what decoded weights must be multiplied by
VALUE_SCALE = 2.0**14


@dataclass(frozen=True)
class Form:
    """One kernel form.

    Args:
        name: that of the published format it was made for.
        element: the minifloat that its codes are.
        group: weights of a half-word; they share their last bit.
        has_tails: shared bits lie apart, as 32 words per burst, from the top bits.
    """

    name: str
    element: Minifloat
    group: int
    has_tails: bool

    @property
    def pairs(self) -> int:
        """half2 registers per lane and row of a unit."""
        return 2 * self.group

    @property
    def unit_weights(self) -> int:
        """Columns of a unit."""
        return unit_columns(self.group)

    @cached_property
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


FP4_25 = Form("fp4.25", Minifloat(2, 2), 4, True)
FP5_33 = Form("fp5.33", Minifloat(2, 3), 3, False)
FORMS = (FP4_25, FP5_33)


def form_of(scheme: Scheme) -> Form | None:
    """Return the smallest form that holds every code of ``scheme``, or None.

    FP4.25 holds e2m2 where 4 neighbours share a bit, and e2m1 with that bit 0; FP5.33 holds e2m3
    where 3 neighbours share a bit, and e2m2 with that bit 0.

    >>> from amssim.scheme import scheme
    >>> [getattr(form_of(scheme(s)), "name", None) for s in ("fp4.25", "fp4-e2m1", "fp6-e2m3")]
    ['fp4.25', 'fp4.25', None]
    """
    element, k = scheme.minifloat, scheme.k
    if element.exponent_bits != 2:
        return None
    for form in FORMS:
        shares = element == form.element and k % form.group == 0
        narrower = element.mantissa_bits < form.element.mantissa_bits
        if shares or narrower:
            return form
    return None


def widen(codes: np.ndarray, scheme: Scheme, form: Form) -> np.ndarray:
    """Codes of ``scheme`` as codes of the form's minifloat: zeros after the mantissa."""
    return codes << (form.element.mantissa_bits - scheme.minifloat.mantissa_bits)
