"""How heavy the tails of real weights are: the generalised normal density that fits them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.optimize import brentq

from amssim.quality.theory.density import density
from amssim.quality.theory.expected_error import expected_mse_absmax
from amssim.scheme import Scheme

#: Shapes that are told apart: below, tails are heavier than any use here; above, all but uniform.
SMALLEST_SHAPE, LARGEST_SHAPE = 0.25, 16.0


def shape_of(weights: np.ndarray) -> float:
    """Return the shape of the generalised normal density with the weights' E|w| / sqrt(E w^2).

    Every row is measured in its own root mean square, as its scale would be: rows of different
    size have no heavier tails for that. 2 is normal, 1 Laplace; within `SMALLEST_SHAPE` and
    `LARGEST_SHAPE`.

    Args:
        weights: float[rows, cols]; rows of zeros do not count.

    >>> rows = np.random.default_rng(0).laplace(size=(64, 1024)) * np.arange(1, 65)[:, None]
    >>> round(shape_of(rows), 1)
    1.0
    """
    w = weights.astype(np.float64, copy=False)
    size = np.sqrt(np.einsum("ij,ij->i", w, w) / w.shape[1])
    mean = np.abs(w).mean(axis=1)
    kept = size > 0
    if not kept.any():
        return LARGEST_SHAPE
    ratio = float((mean[kept] / size[kept]).mean())

    def excess(log_shape: float) -> float:
        return _ratio(math.exp(log_shape)) - ratio

    low, high = math.log(SMALLEST_SHAPE), math.log(LARGEST_SHAPE)
    if excess(low) > 0 or excess(high) < 0:
        return SMALLEST_SHAPE if excess(low) > 0 else LARGEST_SHAPE
    return math.exp(brentq(excess, low, high))


def expected_curve(
    scheme: Scheme, columns: int, shapes: Sequence[float], *, points: int = 7
) -> list[list[float]]:
    """Return points [shape, dB] over the range of ``shapes``: the closed form, absmax scales.

    Rows of one column have no error, and dB that are NaN, which figures leave out.

    Args:
        scheme: the format.
        columns: of a row, which has a scale.
        shapes: of the weights to set beside; the curve goes a little beyond them.
        points: how many.
    """
    low, high = max(SMALLEST_SHAPE, min(shapes) / 1.3), min(LARGEST_SHAPE, max(shapes) * 1.3)
    curve = []
    for shape in np.geomspace(low, high, points).round(3).tolist():
        mse = expected_mse_absmax(density(f"gennorm:{shape}"), scheme, columns=columns)
        curve.append([shape, -10 * math.log10(mse) if mse > 0 else math.nan])
    return curve


def _ratio(shape: float) -> float:
    """E|w| / sqrt(E w^2) of a generalised normal density."""
    g1, g2, g3 = (math.lgamma(n / shape) for n in (1, 2, 3))
    return math.exp(g2 - (g1 + g3) / 2)
