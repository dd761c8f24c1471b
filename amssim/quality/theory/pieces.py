"""Where the two candidate values of a weight change as its magnitude grows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from amssim import reference
from amssim.minifloat import Minifloat


@dataclass(frozen=True)
class Pieces:
    """Intervals of a = |w| / scale between decision thresholds, and what is constant in each.

    ``edges`` float64[n + 1] from 0 to inf; ``v0``, ``v1`` float64[n] values where the shared bit
    is 0 and 1; ``odd`` bool[n] whether the nearest code of all is odd.
    """

    edges: np.ndarray
    v0: np.ndarray
    v1: np.ndarray
    odd: np.ndarray

    @property
    def slope(self) -> np.ndarray:
        """Slope of d = (a - v1)^2 - (a - v0)^2 in each interval."""
        slope: np.ndarray = -2 * (self.v1 - self.v0)
        return slope

    @property
    def offset(self) -> np.ndarray:
        """d of each interval's line at a = 0."""
        offset: np.ndarray = self.v1**2 - self.v0**2
        return offset

    @property
    def largest_excess(self) -> float:
        """Upper bound of d."""
        ends = np.minimum(np.stack([self.edges[:-1], self.edges[1:]]), 2 * self.v1[-1])
        return float((self.offset + self.slope * ends).max())

    @property
    def excess_of_zero(self) -> float:
        """d of a weight that is zero."""
        return float(self.offset[0])

    @property
    def last_step(self) -> float:
        """Error of the largest value, which is odd, where the shared bit is 0."""
        return float(self.v1[-1] - self.v0[-1])


@lru_cache(maxsize=256)
def pieces(element: Minifloat, search: str) -> Pieces:
    """Cut the half-line at every threshold of rounding to all, to even and to odd codes.

    >>> p = pieces(Minifloat(2, 1), "adaptive")
    >>> p.edges[:4].tolist(), p.v0[:3].tolist(), p.v1[:3].tolist()
    ([0.0, 0.25, 0.5, 0.75], [0.0, 0.0, 1.0], [0.5, 0.5, 0.5])
    """
    grid = element.values[: element.magnitudes].astype(np.float64)
    cuts = [(g[1:] + g[:-1]) / 2 for g in (grid, grid[::2], grid[1::2])]
    inner = np.unique(np.concatenate(cuts))
    edges = np.concatenate([[0.0], inner, [np.inf]])
    centres = np.append((edges[:-2] + edges[1:-1]) / 2, inner[-1] + 1)
    code0, code1 = reference.candidates(centres, element, search)
    v0, v1 = (element.decode(code).astype(np.float64) for code in (code0, code1))
    return Pieces(edges, v0, v1, reference.nearest(centres, element) % 2 == 1)
