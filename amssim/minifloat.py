"""Minifloats: floats of at most 8 bits with a sign, subnormals, and neither Inf nor NaN.

Numpy is imported where a table is made, so that `import amssim` does not wait for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from numbers import Integral
from typing import TYPE_CHECKING

from amssim.errors import SchemeError

if TYPE_CHECKING:
    import numpy as np

EXPONENT_BITS = range(1, 5)
MANTISSA_BITS = range(1, 5)
MAX_BITS = 8


@dataclass(frozen=True, order=True)
class Minifloat:
    """The float ``ExMy``: 1 sign bit, x exponent bits, y mantissa bits, from high to low.

    The value of a code (s, e, m) is ``(-1)^s 2^(e-bias) (1 + m/2^y)`` for e > 0 and
    ``(-1)^s 2^(1-bias) m/2^y`` for e = 0, with bias = 2^(x-1) - 1 as in the OCP MX formats v1.0,
    section 5.3. All codes are finite; anything beyond the largest value saturates to it.

    Args:
        exponent_bits: x, 1 to 4.
        mantissa_bits: y, 1 to 4, with x + y + 1 <= 8.

    Raises:
        SchemeError: a width outside those ranges.

    >>> e2m3 = Minifloat(2, 3)
    >>> e2m3.name, e2m3.bits, e2m3.max_value, e2m3.min_subnormal
    ('e2m3', 6, 7.5, 0.125)
    >>> import numpy as np
    >>> e2m3.decode(np.array([0b000001, 0b001000, 0b111111], np.uint8))
    array([ 0.125,  1.   , -7.5  ], dtype=float32)
    """

    exponent_bits: int
    mantissa_bits: int

    def __post_init__(self) -> None:
        x, y = self.exponent_bits, self.mantissa_bits
        whole = isinstance(x, Integral) and isinstance(y, Integral)
        if not (whole and x in EXPONENT_BITS and y in MANTISSA_BITS and 1 + x + y <= MAX_BITS):
            raise SchemeError(
                f"no minifloat E{x}M{y}: exponent and mantissa take 1 to 4 bits each "
                f"and at most {MAX_BITS - 1} together"
            )

    @property
    def name(self) -> str:
        """Lower-case name, such as ``e2m3``."""
        return f"e{self.exponent_bits}m{self.mantissa_bits}"

    @property
    def bits(self) -> int:
        """Width of a code in bits, sign included."""
        return 1 + self.exponent_bits + self.mantissa_bits

    @property
    def bias(self) -> int:
        """Amount subtracted from the exponent field, 2^(x-1) - 1."""
        return (1 << (self.exponent_bits - 1)) - 1

    @property
    def magnitudes(self) -> int:
        """Number of codes with sign 0."""
        return 1 << (self.bits - 1)

    @property
    def sign_bit(self) -> int:
        """The sign bit as a mask on a code."""
        return self.magnitudes

    @property
    def max_value(self) -> float:
        """Largest value, that of the code with sign 0 and all other bits 1."""
        highest = float(2 ** (2**self.exponent_bits - 1 - self.bias))
        return highest * (2 - 2.0**-self.mantissa_bits)

    @property
    def min_normal(self) -> float:
        """Smallest positive normal value, 2^(1-bias)."""
        return 2.0 ** (1 - self.bias)

    @property
    def min_subnormal(self) -> float:
        """Smallest positive value: the grid step below ``2 * min_normal``."""
        return 2.0 ** (1 - self.bias - self.mantissa_bits)

    @cached_property
    def values(self) -> np.ndarray:
        """float32[2^bits] value of every code, read-only; code ``sign_bit`` is -0.0."""
        import numpy as np

        code = np.arange(2**self.bits)
        m = code % 2**self.mantissa_bits
        e = (code >> self.mantissa_bits) % 2**self.exponent_bits
        fraction = m / 2**self.mantissa_bits + (e > 0)
        magnitude = np.ldexp(fraction, np.maximum(e, 1) - self.bias)
        table: np.ndarray = np.where(code & self.sign_bit, -magnitude, magnitude).astype(np.float32)
        table.flags.writeable = False
        return table

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Return the float32 values of integer ``codes`` of any shape, each below 2^bits."""
        values: np.ndarray = self.values[codes]
        return values
