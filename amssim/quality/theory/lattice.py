"""The distribution of d, the excess of shared bit 1, on a lattice; sums of it by convolution."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import fft

from amssim.quality.theory.density import PartialMoments
from amssim.quality.theory.pieces import Pieces

# Cells per smallest squared step: |d| of a subnormal weight still spans 64 cells. The caps keep a
# convolution under 0.1 s; formats with 3 exponent bits and groups of 64 reach them.
_FINENESS, _MOST_CELLS, _LONGEST_SUM = 64, 1 << 17, 1 << 20


class Lattice:
    """Probabilities of d at multiples of ``size``; each cell keeps its mass and its mean.

    With the mean of every cell right, E min(0, D) errs in second order of the size only. d has an
    upper bound; below -(k-1) times that its exact amount cannot change the sign of D, so the
    lattice ends there and E of the rest is kept apart.

    Args:
        below: moments of a below given points, in units of the scale.
        cut: the pieces of the half-line.
        k: weights of a group.
    """

    def __init__(self, below: Callable[[np.ndarray], PartialMoments], cut: Pieces, k: int):
        top, least_square = cut.largest_excess, ((cut.v1 - cut.v0) ** 2).min()
        span = max(k, 2) * top
        cells = min(_MOST_CELLS, _LONGEST_SUM // k, int(_FINENESS * span / least_square))
        self.size = span / cells
        self.low = int(np.ceil((k - 1) * top / self.size)) + 1
        self.masses = np.zeros(cells + 4)
        self.beyond = 0.0
        for i in range(len(cut.v0)):
            self._add_piece(below, cut, i)

    def gain(self, count: int, shift: float = 0.0, padding: float = 0.0) -> float:
        """Return E D 1(D + padding < 0) with D = shift + d_1 + ... + d_count.

        ``padding`` is the excess of zeros that fill up a group: they decide and do not count.
        """
        if count == 0:
            return shift if shift + padding < 0 else 0.0
        length = count * (len(self.masses) - 1) + 1
        padded = fft.next_fast_len(length, real=True)
        sums = fft.irfft(fft.rfft(self.masses, padded) ** count, padded)[:length]
        values = (np.arange(length) - count * self.low) * self.size + shift
        return float(sums @ np.where(values + padding < 0, values, 0)) + count * self.beyond

    def _add_piece(
        self, below: Callable[[np.ndarray], PartialMoments], cut: Pieces, i: int
    ) -> None:
        """Add piece i, where d = offset + slope a, to the lattice."""
        offset, slope = cut.offset[i], cut.slope[i]
        low, high = cut.edges[i : i + 2]
        lowest, highest = np.sort([offset + slope * low, offset + slope * high]) / self.size
        first = int(max(np.floor(lowest), -self.low))
        last = max(int(np.ceil(highest)), first)
        points = np.arange(first, last + 1) * self.size
        edges = np.clip((points - offset) / slope, low, high)
        self._add_cells(below(edges), offset, slope, points, first + self.low)
        if lowest < -self.low:
            rest = [edges[0], high] if slope < 0 else [low, edges[0]]
            self._add_rest(below(np.array(rest)), offset, slope)

    def _add_cells(
        self, moments: PartialMoments, offset: float, slope: float, points: np.ndarray, at: int
    ) -> None:
        mass, first, _ = moments.between()
        total = offset * mass + slope * first
        sign = np.sign(slope)  # where d falls with a, the edges run down and all integrals flip
        upper = sign * (total - points[:-1] * mass) / self.size
        self.masses[at : at + len(mass)] += sign * mass - upper
        self.masses[at + 1 : at + 1 + len(mass)] += upper

    def _add_rest(self, moments: PartialMoments, offset: float, slope: float) -> None:
        """Put all d below the lattice on its lowest point; keep by how much they lie lower."""
        mass, first, _ = (float(m[0]) for m in moments.between())
        self.masses[0] += mass
        self.beyond += offset * mass + slope * first + self.low * self.size * mass
