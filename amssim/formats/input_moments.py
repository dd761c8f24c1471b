"""Second moments of a layer's inputs, which tell a format how much an error at a column costs."""

from __future__ import annotations

import numpy as np

from amssim.errors import InputError

# Relative to the mean: an input that was never seen keeps this importance, so that its weights
# are still rounded sensibly.
_FLOOR = 1e-6


class InputMoments:
    """E[x x^T] of the inputs, in full, as its diagonal, or unknown.

    Args:
        moments: float[cols, cols], float[cols], or None.
        cols: columns of the weights.

    Raises:
        InputError: another shape, a value that is not finite, or a negative second moment.

    >>> InputMoments(np.array([3.0, 1.0]), 2).importance
    array([1.5, 0.5], dtype=float32)
    """

    def __init__(self, moments: np.ndarray | None, cols: int):
        self.cols = cols
        self.given = None if moments is None else _check(np.asarray(moments), cols)

    @property
    def known(self) -> bool:
        """Whether any were given."""
        return self.given is not None

    @property
    def full(self) -> bool:
        """Whether products of different inputs are known."""
        return self.given is not None and self.given.ndim == 2

    @property
    def importance(self) -> np.ndarray:
        """float32[cols] E[x_j^2] divided by the columns' mean, at least 1e-6; ones if unknown."""
        if self.given is None:
            return np.ones(self.cols, np.float32)
        diagonal = np.diagonal(self.given) if self.full else self.given
        mean = diagonal.mean()
        if mean == 0:
            return np.ones(self.cols, np.float32)
        importance: np.ndarray = np.maximum(diagonal / mean, _FLOOR).astype(np.float32)
        return importance

    @property
    def hessian(self) -> np.ndarray:
        """float64[cols, cols] E[x x^T] with a mean diagonal of 1; diagonal if no more is known."""
        if self.given is None or not self.full or not np.trace(self.given):
            return np.diag(self.importance.astype(np.float64))
        factor = self.cols / (2 * np.trace(self.given))
        symmetric: np.ndarray = (self.given + self.given.T) * factor
        return symmetric


def _check(moments: np.ndarray, cols: int) -> np.ndarray:
    if moments.shape not in ((cols,), (cols, cols)):
        raise InputError(
            f"moments must be [{cols}] or [{cols}, {cols}] for weights of {cols} columns, "
            f"found {list(moments.shape)}"
        )
    if moments.dtype.kind not in "fiu" and moments.dtype.name != "bfloat16":
        raise InputError(f"moments must be real numbers, found {moments.dtype.name}")
    moments = moments.astype(np.float64)
    diagonal = np.diagonal(moments) if moments.ndim == 2 else moments
    if not np.isfinite(moments).all() or (diagonal < 0).any():
        raise InputError("moments must be finite second moments, none of E[x_j^2] negative")
    return moments
