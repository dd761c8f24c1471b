"""The best clip of a format, and the best format for a bit budget, by the closed form."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from scipy.optimize import minimize_scalar

from amssim.errors import InputError
from amssim.minifloat import EXPONENT_BITS, MANTISSA_BITS, MAX_BITS, Minifloat
from amssim.quality.theory.density import Density
from amssim.quality.theory.expected_error import expected_mse
from amssim.scheme import Scheme

#: Group sizes that a search for the best format tries.
SIZES = (1, 2, 3, 4, 5, 6, 7, 8, 12, 16)


@dataclass(frozen=True)
class Optimum:
    """A format with its best clip, in standard deviations, and the error there (variance 1)."""

    scheme: Scheme
    clip: float
    mse: float

    @property
    def sqnr_db(self) -> float:
        """Signal to quantisation noise in dB."""
        return -10 * math.log10(self.mse)


@lru_cache(maxsize=1024)
def best_clip(density: Density, scheme: Scheme, *, search: str = "adaptive") -> Optimum:
    """Return the clip with the least expected error: what an ``mse`` scale of long rows tends to.

    >>> from amssim.quality.theory.density import density
    >>> from amssim.scheme import FP4_25
    >>> best = best_clip(density("normal"), FP4_25)
    >>> round(best.clip, 2), round(best.sqnr_db, 2)
    (3.08, 21.85)
    """

    def mse(log_clip: float) -> float:
        return expected_mse(density, scheme, clip=math.exp(log_clip), search=search)

    # the error has shallow local minima, one per alignment of the grid's octaves with the density
    starts = [math.log(1.5) + 0.25 * i for i in range(17)]
    coarse = min(range(len(starts)), key=lambda i: mse(starts[i]))
    low, high = starts[max(coarse - 1, 0)], starts[min(coarse + 1, len(starts) - 1)]
    least = minimize_scalar(mse, bounds=(low, high), method="bounded", options={"xatol": 1e-4})
    return Optimum(scheme, math.exp(least.x), float(least.fun))


def best_schemes(
    density: Density, bits: float | Fraction, *, search: str = "adaptive"
) -> list[Optimum]:
    """Return for each element its format with the most bits within ``bits``, least error first.

    Elements that leave a whole bit of the budget unused are passed over.

    Args:
        density: of the weights.
        bits: payload bits per weight, int, float or Fraction.
        search: a search rule.

    Raises:
        InputError: a budget that no format meets, or that is no number.
    """
    if not 0 < bits < math.inf:
        raise InputError(f"a budget must be a positive number of bits, found {bits}")
    budget = min(Fraction(bits).limit_denominator(1000), Fraction(MAX_BITS))
    fitting = (_within(e, budget) for e in _elements())
    schemes = [s for s in fitting if s and s.bits > budget - 1]
    if not schemes:
        raise InputError(f"no format has at most {float(budget):g} bits: the least is about 2.1")
    return sorted((best_clip(density, s, search=search) for s in schemes), key=lambda o: o.mse)


def _elements() -> list[Minifloat]:
    pairs = [(x, y) for x in EXPONENT_BITS for y in MANTISSA_BITS]
    return [Minifloat(x, y) for x, y in pairs if 1 + x + y <= MAX_BITS]


def _within(element: Minifloat, budget: Fraction) -> Scheme | None:
    """The format of ``element`` with the most bits that stays within the budget."""
    fitting = [s for s in (Scheme(element, k) for k in SIZES) if s.bits <= budget]
    return max(fitting, key=lambda s: s.bits, default=None)
