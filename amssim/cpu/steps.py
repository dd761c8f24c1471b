"""Values of a minifloat as whole numbers of its smallest one."""

from __future__ import annotations

from amssim.minifloat import Minifloat


def magnitudes_in_steps(element: Minifloat) -> list[int]:
    """Return the value of every code of sign 0, in units of the smallest positive value.

    >>> magnitudes_in_steps(Minifloat(2, 2))
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28]
    """
    positive = element.values[: element.magnitudes] / element.min_subnormal
    return positive.astype(int).tolist()
