"""The expected squared error of AMS formats in closed form, for independent weights.

Write a = |w| / s for the magnitude of a weight over the scale, v0(a) and v1(a) for the values it
gets where the shared bit is 0 and 1, and d = (a - v1)^2 - (a - v0)^2. A group of k loses

    E sum (a - v0)^2 + E min(0, D),    D = d_1 + ... + d_k.

Between neighbouring decision thresholds v0 and v1 are constant and d is linear in a. So the first
term is a sum of partial moments of the density, and those moments also give the distribution of d
on a lattice; that of D is its k-fold convolution.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.stats import binom

from amssim.errors import InputError
from amssim.quality.theory.density import Density, PartialMoments
from amssim.quality.theory.lattice import Lattice
from amssim.quality.theory.pieces import pieces
from amssim.rules import check_search
from amssim.scheme import Scheme

_MAXIMA = 24  # quadrature nodes over the distribution of a row's maximum


def expected_mse(
    density: Density, scheme: Scheme, *, clip: float, search: str = "adaptive"
) -> float:
    """Return E (w - restored)^2 where the scale maps ``clip`` to the largest value.

    Args:
        density: of the weights, variance 1, so 1 / result is the SQNR as a ratio.
        scheme: the format.
        clip: in standard deviations; larger weights saturate.
        search: a rule of `amssim.rules.SEARCH_RULES`.

    Raises:
        InputError: a clip that is not positive and finite.

    >>> from amssim.quality.theory.density import density
    >>> from amssim.scheme import FP4_25
    >>> round(1e4 * expected_mse(density("normal"), FP4_25, clip=3.2), 2)
    65.49
    """
    if not 0 < clip < np.inf:
        raise InputError(f"a clip must be a positive number of standard deviations, found {clip}")
    s = clip / scheme.minifloat.max_value

    def below(points: np.ndarray) -> PartialMoments:
        return _scaled(density.below(points * s), s)

    return float(s**2 * _Group(below, scheme, search).total(scheme.k) / scheme.k)


def expected_mse_absmax(
    density: Density, scheme: Scheme, *, columns: int, search: str = "adaptive"
) -> float:
    """Return E (w - restored)^2 where each ``columns`` weights have their own absmax scale.

    Given the largest magnitude M of a row, the others are independent with the density cut off
    at M. The row's error is averaged over M, whose distribution function is P(|w| < M)^columns.
    A last group that ``columns`` leave short is filled up with zeros, as in the packed form.

    Raises:
        InputError: ``columns`` that are no positive whole number.
    """
    if not isinstance(columns, int | np.integer) or columns < 1:
        raise InputError(f"columns must be a positive whole number, found {columns!r}")
    node, weight = np.polynomial.legendre.leggauss(_MAXIMA)
    # 1 - v^4 crowds the nodes where M is large: there its square, and with it the error, grows fast
    v = (node + 1) / 2
    levels, weights = 1 - v**4, 2 * v**3 * weight
    largest = (density.quantile(level ** (1 / columns)) for level in levels)
    errors = [_row_mse(density, scheme, m, columns, search) for m in largest]
    return float(np.dot(weights, errors) / weights.sum())


def _row_mse(density: Density, scheme: Scheme, largest: float, columns: int, search: str) -> float:
    """Mean squared error of a row whose largest magnitude is ``largest``."""
    s = largest / scheme.minifloat.max_value
    everything = density.below(largest).mass

    def below(points: np.ndarray) -> PartialMoments:
        part = density.below(np.minimum(points * s, largest))
        return _scaled(PartialMoments(*(m / everything for m in part)), s)

    group, (groups, rest) = _Group(below, scheme, search), divmod(columns, scheme.k)
    total = 0.0
    for count, size in ((groups, scheme.k), (1, rest)):
        if count and size:  # as many groups as hold the largest weight on average have it
            holding = count * size / columns
            total += (count - holding) * group.total(size)
            total += holding * group.total(size, with_largest=True)
    return s**2 * total / columns


def _scaled(below: PartialMoments, s: float) -> PartialMoments:
    return PartialMoments(below.mass, below.first / s, below.second / s**2)


class _Group:
    """Expected squared error of groups of up to k weights, in units of the squared scale."""

    def __init__(self, below: Callable[[np.ndarray], PartialMoments], scheme: Scheme, search: str):
        check_search(search)
        self.k, self.search = scheme.k, search
        self.cut = pieces(scheme.minifloat, search)
        self.parts = below(self.cut.edges).between()
        self.errors = [self.parts.squared_error(v) for v in (self.cut.v0, self.cut.v1)]
        self.lattice = None
        if search in ("adaptive", "replace"):
            self.lattice = Lattice(below, self.cut, scheme.k)

    def total(self, size: int, with_largest: bool = False) -> float:
        """Error of a group of ``size`` weights and k - size zeros that do not count.

        With ``with_largest`` one of them is the row's maximum, which has the largest value.
        """
        others, own = size - with_largest, with_largest * self.cut.last_step**2
        if self.lattice:
            zeros = (self.k - size) * self.cut.excess_of_zero
            first = others * float(self.errors[0].sum()) + own
            return first + self.lattice.gain(others, -own, zeros)
        if self.search == "majority":
            return self._majority(others, own)
        if self.search == "zero":
            return others * float(self.errors[0].sum()) + own
        return others * float(self.errors[1].sum())

    def _majority(self, others: int, own: float) -> float:
        """The number of odd codes is binomial; given it, the weights are independent again."""
        odd = self.cut.odd
        p_odd = self.parts.mass[odd].sum() / self.parts.mass.sum()
        chances = binom.pmf(np.arange(others + 1), others, p_odd)
        total = 0.0
        for ones, chance in enumerate(chances):
            bit = int(2 * (ones + (own > 0)) > self.k)
            even_error, odd_error = self.errors[bit][~odd].sum(), self.errors[bit][odd].sum()
            error = (others - ones) * even_error / (1 - p_odd) + ones * odd_error / p_odd
            total += chance * (error + (0.0 if bit else own))
        return float(total)
