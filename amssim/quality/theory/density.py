"""Symmetric weight densities of variance 1: their partial moments, samples and entropy."""

from __future__ import annotations

import re
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import interpolate, stats

from amssim.errors import InputError

_GRID_CELLS, _NODES = 4000, 8
_TAIL = 1e-15  # mass that may lie beyond the grid of the partial moments


class PartialMoments(NamedTuple):
    """Integrals of 1, a and a^2 over the density of a = |w|, arrays of one shape."""

    mass: np.ndarray
    first: np.ndarray
    second: np.ndarray

    def between(self) -> PartialMoments:
        """Return the moments of the intervals between successive points."""
        return PartialMoments(*(np.diff(m) for m in self))

    def squared_error(self, value: ArrayLike) -> np.ndarray:
        """Integral of (a - value)^2."""
        v = np.asarray(value)
        error: np.ndarray = self.second - 2 * v * self.first + v**2 * self.mass
        return error


class Density:
    """A symmetric density with variance 1, seen through a = |w|.

    Args:
        name: how tables call it.
        frozen: a symmetric scipy.stats distribution with mean 0 and variance 1.

    >>> normal = density("normal")
    >>> [round(float(m), 4) for m in normal.below(1.0)]
    [0.6827, 0.3139, 0.1987]
    """

    def __init__(self, name: str, frozen: Any):
        self.name, self._frozen = name, frozen

    def below(self, points: ArrayLike) -> PartialMoments:
        """Return the moments of 0 <= a < points; ``inf`` is a valid point."""
        points = np.asarray(points, np.float64)
        inside = np.minimum(points, self._grid[-1])
        end = self._grid[-1]
        return PartialMoments(*(np.where(points > end, m(end), m(inside)) for m in self._splines))

    def quantile(self, mass: float) -> float:
        """Return the magnitude that |w| does not exceed with probability ``mass``."""
        return float(self._frozen.isf((1 - mass) / 2))

    def sample(self, shape: tuple[int, ...] | int, rng: np.random.Generator) -> np.ndarray:
        """Draw float32 weights of ``shape``."""
        if self.name == "normal":
            normal: np.ndarray = rng.standard_normal(shape, dtype=np.float32)
            return normal
        drawn: np.ndarray = self._frozen.rvs(size=shape, random_state=rng).astype(np.float32)
        return drawn

    @property
    def entropy_nats(self) -> float:
        """Differential entropy of w."""
        return float(self._frozen.entropy())

    def pdf(self, points: ArrayLike) -> np.ndarray:
        """Density of a = |w|."""
        doubled: np.ndarray = 2 * self._frozen.pdf(points)
        return doubled

    @cached_property
    def _grid(self) -> np.ndarray:
        far = self._frozen.isf(_TAIL / 2)
        return np.concatenate([[0.0], np.geomspace(1e-7, far, _GRID_CELLS)])

    @cached_property
    def _splines(self) -> list[interpolate.CubicHermiteSpline]:
        """Moments below each grid point by Gauss-Legendre quadrature, between them by Hermite."""
        node, weight = np.polynomial.legendre.leggauss(_NODES)
        low, width = self._grid[:-1, None], np.diff(self._grid)[:, None]
        at = low + width * (node + 1) / 2
        mass = self.pdf(at) * width * weight / 2
        ends = self._grid.copy()
        ends[0] = ends[1] / 2  # a density may be infinitely steep at 0
        splines = []
        for power in range(3):
            total = np.concatenate([[0.0], np.cumsum((mass * at**power).sum(axis=1))])
            slope = self.pdf(ends) * ends**power
            splines.append(interpolate.CubicHermiteSpline(self._grid, total, slope))
        return splines


_NAME = re.compile(r"(normal|laplace|t|gennorm)(?::?(\d+(?:\.\d+)?))?")
DENSITIES = ("normal", "laplace", "t5", "gennorm:0.7")


@lru_cache(maxsize=64)
def density(name: str) -> Density:
    """Return a density by name: normal, laplace, t5 (Student, 5 degrees), gennorm:1.5 (shape).

    Raises:
        InputError: an unknown name, or a density whose tails are too heavy.
    """
    parsed = _NAME.fullmatch(name)
    family, shape = parsed.groups() if parsed else ("", None)
    if not parsed or (shape is None) != (family in ("normal", "laplace")):
        raise InputError(
            f"unknown density {name!r}: choose normal, laplace, t5 (any number of degrees from 3) "
            "or gennorm:1.5 (any shape from 0.2)"
        )
    if family == "normal":
        return Density(name, stats.norm())
    if family == "laplace":
        return Density(name, stats.laplace(scale=0.5**0.5))
    return _with_shape(name, family, float(shape or 0))


def _with_shape(name: str, family: str, shape: float) -> Density:
    least, what = (3, "degrees of freedom") if family == "t" else (0.2, "as its shape")
    if shape < least:
        raise InputError(
            f"density {name!r} has tails so heavy that neither sums nor samples find its variance: "
            f"expected at least {least} {what}"
        )
    frozen = stats.t if family == "t" else stats.gennorm
    return Density(name, frozen(shape, scale=1 / frozen(shape).std()))
