"""What any scalar or vector quantiser could reach: distortion at a rate, for a `Density`.

All distortions are mean squared errors of weights with variance 1, so 1 / D is the SQNR.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from amssim.errors import InputError
from amssim.quality.theory.density import Density

# Cells of less mass, with all weights beyond the last, count as flat: their moments are differences
# of numbers near 1, and in heavy tails the rounding of those would outweigh the error itself.
_THIN, _UNCODED = 1e-8, 1e-12


class RatePoint(NamedTuple):
    """``bits`` per weight and the mean squared error there."""

    bits: float
    mse: float


def shannon_lower_bound(density: Density, bits: float) -> float:
    """Return a lower bound of D(R), e^(2h) 2^(-2R) / (2 pi e), at most 1.

    It is D(R) itself for the normal density, and nearly so for others from 3 bits on. Source:
    Cover and Thomas, Elements of Information Theory, section 10.3 and problem 10.8.

    >>> from amssim.quality.theory.density import density
    >>> round(shannon_lower_bound(density("normal"), 4), 8) == round(4.0**-4, 8)
    True
    """
    if not bits >= 0:
        raise InputError(f"a rate must be a number of bits from 0, found {bits}")
    power = math.exp(2 * density.entropy_nats) / (2 * math.pi * math.e)
    return min(1.0, float(power * 4.0**-bits))


def entropy_coded(density: Density, step: float) -> RatePoint:
    """Return rate and error of uniform thresholds ``step`` apart, centroids, and ideal coding.

    The zero cell is centred. At high rates the error is 1.53 dB above the bound: Gish and Pierce,
    IEEE Trans. Inf. Theory 14 (1968) 676.
    """
    if not 0 < step < math.inf:
        raise InputError(f"a step must be positive, found {step}")
    far = density.quantile(1 - _UNCODED)
    edges = np.append(0.0, (np.arange(int(far / step) + 1) + 0.5) * step)
    cells = density.below(np.append(edges, np.inf)).between()
    chance = np.append(cells.mass[0], np.repeat(cells.mass[1:] / 2, 2))  # both signs
    chance = chance[chance > 0]
    centre = np.divide(cells.first, cells.mass, out=np.zeros_like(cells.mass), where=cells.mass > 0)
    centre[0] = 0.0
    flat = cells.mass * step**2 / 12
    errors = np.where(cells.mass < _THIN, flat, cells.squared_error(centre))
    return RatePoint(float(-(chance * np.log2(chance)).sum()), float(errors.sum()))


def entropy_coded_at(density: Density, bits: float) -> RatePoint:
    """Return the entropy-coded quantiser of the given rate.

    Raises:
        InputError: a rate outside 0.1 to 10 bits.
    """
    from scipy.optimize import brentq

    if not 0.1 <= bits <= 10:
        raise InputError(f"entropy coding is computed from 0.1 to 10 bits, found {bits}")

    def excess(log_step: float) -> float:
        return entropy_coded(density, math.exp(log_step)).bits - bits

    # small steps leave h - log(step) nats, so this one has about a bit too many
    least = density.entropy_nats - (bits + 1) * math.log(2)
    return entropy_coded(density, math.exp(brentq(excess, least, math.log(20.0))))


def lloyd_max(density: Density, levels: int, *, rounds: int = 5000) -> RatePoint:
    """Return the best quantiser with an even number of ``levels``, at log2(levels) bits.

    Lloyd's alternation of midpoints and centroids, from the levels of high-rate theory, whose
    density is that of the weights to the power 1/3. Source: Lloyd, IEEE Trans. Inf. Theory 28
    (1982) 129; Max, IRE Trans. Inf. Theory 6 (1960) 7.

    Raises:
        InputError: an odd number of levels, or none.

    >>> from amssim.quality.theory.density import density
    >>> round(lloyd_max(density("normal"), 4).mse, 4)
    0.1175
    """
    if levels < 2 or levels % 2:
        raise InputError(f"levels must be an even number from 2, found {levels}")
    centre = _companded(density, levels // 2)
    for _ in range(rounds):
        edges = np.concatenate([[0.0], (centre[1:] + centre[:-1]) / 2, [np.inf]])
        cells = density.below(edges).between()
        moved = cells.first / cells.mass
        if np.allclose(moved, centre, rtol=1e-6, atol=0):  # the error is then right to 1e-6
            break
        centre = moved
    return RatePoint(math.log2(levels), float(cells.squared_error(centre).sum()))


def bound_curves(density: Density) -> dict[str, list[list[float]]]:
    """Return points [bits, dB] of each bound from 3.5 to 6.5 bits, for figures."""

    def db(mse: float) -> float:
        return -10 * math.log10(mse)

    rates = np.linspace(3.5, 6.5, 13).tolist()
    levels = [lloyd_max(density, n) for n in range(12, 92, 4)]
    return {
        "rate-distortion": [[r, db(shannon_lower_bound(density, r))] for r in rates],
        "entropy-coded": [[r, db(entropy_coded_at(density, r).mse)] for r in rates],
        "Lloyd-Max": [[p.bits, db(p.mse)] for p in levels],
    }


def _companded(density: Density, count: int) -> np.ndarray:
    """Centres of ``count`` cells of equal mass under the density to the power 1/3."""
    points = np.linspace(0, density.quantile(1 - 1e-9), 100_001)
    share = np.cumsum(np.cbrt(density.pdf(np.maximum(points, points[1] / 2))))
    centres: np.ndarray = np.interp((np.arange(count) + 0.5) / count * share[-1], share, points)
    return centres
