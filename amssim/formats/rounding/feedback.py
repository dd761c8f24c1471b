"""Error feedback (GPTQ): the error of a column is made good by the columns still to be rounded.

With H = E[x x^T], damped, and U the upper Cholesky factor of its inverse, rounding column j with
error d_j leaves the least output error if the later columns move by -d_j / U_jj * U_j. Source:
GPTQ, arXiv 2210.17323, section 3.3.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.linalg import LinAlgError, cholesky, solve_triangular

from amssim.errors import InputError
from amssim.formats.rounding.feedback_kernels import round_block
from amssim.formats.rounding.table import Table, thresholds

#: Added to the diagonal of H, whose mean is 1, as published.
DAMPING = 0.01
# Columns between two updates of all later columns by one matrix product.
_BLOCK = 96


def inverse_factor(hessian: np.ndarray, *, damping: float = DAMPING) -> np.ndarray:
    """Upper triangular float64 U with U^T U = (H + damping I)^-1, H of mean diagonal 1.

    Raises:
        InputError: H has an eigenvalue below -damping.
    """
    damped = hessian + damping * np.eye(len(hessian))
    try:  # H reversed in both axes = L L^T; reversing L^-1 gives the upper factor of H^-1
        low = cholesky(damped[::-1, ::-1], lower=True)
    except LinAlgError:
        raise InputError(
            "moments are not positive semidefinite, as E[x x^T] of any inputs is: "
            "pass sums of x x^T over real inputs"
        ) from None
    upper: np.ndarray = solve_triangular(low, np.eye(len(low)), lower=True)[::-1, ::-1].copy()
    return upper


def round_with_feedback(
    weights: np.ndarray, scales: np.ndarray, hessian: np.ndarray, tables: Sequence[Table], k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Round column by column; each k neighbours of a row take their values from one table.

    A group is rounded with every table, feedback within the group included, and keeps the first
    with the least cost sum_j (d_j / U_jj)^2, which is what it adds to the output error.

    Args:
        weights: float32[rows, cols].
        scales: float32[rows, cols], the scale of each weight.
        hessian: float64[cols, cols] second moments of the inputs, of mean diagonal 1.
        tables: one, or one per value of a shared bit.
        k: weights that share the table.

    Returns:
        uint8[rows, cols] index in the table, uint8[rows, groups] the table. An index past a
        table's end, where another is longer, means its last value.

    Raises:
        InputError: a hessian that no inputs can have.
    """
    factor = inverse_factor(hessian)
    rows, cols = weights.shape
    w = weights.astype(np.float64)
    scales = np.ascontiguousarray(scales, np.float64)
    codes = np.empty((rows, cols), np.uint8)
    chosen = np.empty((rows, -(-cols // k)), np.uint8)
    size = max(tables, key=lambda t: len(t.values)).array.size
    values = np.stack([_padded(t.array, size) for t in tables]).astype(np.float64)
    entries = (thresholds(values), values)
    work = (np.empty(k), np.empty(k, np.uint8), np.empty(k))
    step = k * max(1, _BLOCK // k)
    for start in range(0, cols, step):
        stop = min(start + step, cols)
        errors = np.zeros((rows, stop - start))
        round_block(w, scales, factor, *entries, k, start, stop, *work, codes, chosen, errors)
        w[:, stop:] -= errors @ factor[start:stop, stop:]
    return codes, chosen


def _padded(values: np.ndarray, size: int) -> np.ndarray:
    """Fill up with the last value: an index past the table's end then means its end."""
    return np.pad(values, (0, size - len(values)), mode="edge")
