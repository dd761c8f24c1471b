"""Tables of values, the element side of most formats, and rounding to their nearest entry."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from amssim.formats.rounding import kernels
from amssim.formats.rounding.blocks import block_count
from amssim.minifloat import Minifloat


@dataclass(frozen=True)
class Table:
    """Ascending values; a stored code is the index of one.

    A value midway between two entries goes to the one an even number of steps from zero, as IEEE
    rounding does for the tables of minifloats and integers, and to the lower one where the table
    has no zero.

    >>> Table((-2.0, -1.0, 0.0, 1.0)).codes(np.float32([[0.6, -1.5, 0.5]]), np.ones((1, 1)), 3)
    array([[3, 0, 2]], dtype=uint8)
    """

    values: tuple[float, ...]

    @cached_property
    def array(self) -> np.ndarray:
        """float32[n] the values."""
        return np.array(self.values, np.float32)

    @cached_property
    def thresholds(self) -> np.ndarray:
        """float32[n - 1]: a float32 x rounds to the entry after as many as lie below it.

        Each is the largest float32 that still rounds down: the midpoint of two neighbours, or
        the number before it where an x at the midpoint goes up.
        """
        v = self.array.astype(np.float64)
        zero = self.values.index(0.0) if 0.0 in self.values else None
        return thresholds(v, even=None if zero is None else zero % 2)

    @property
    def limit(self) -> float:
        """Largest magnitude."""
        return max(abs(self.values[0]), abs(self.values[-1]))

    def codes(self, weights: np.ndarray, scales: np.ndarray, scale_block: int) -> np.ndarray:
        """uint8[rows, cols] index of the entry nearest to weight / scale.

        Args:
            weights: float32[rows, cols].
            scales: float[rows, blocks], not zero.
            scale_block: columns of a block.
        """
        codes = np.empty(weights.shape, np.uint8)
        scales = np.ascontiguousarray(scales, np.float32)
        work = _work_space(weights.shape[1])
        kernels.nearest_codes(weights, scales, scale_block, self.thresholds, *work, codes)
        return codes

    def values_of(self, codes: np.ndarray) -> np.ndarray:
        """float32 entries at the codes."""
        entries: np.ndarray = self.array[codes]
        return entries

    def errors(
        self,
        weights: np.ndarray,
        importance: np.ndarray,
        scales: np.ndarray,
        scale_block: int,
    ) -> np.ndarray:
        """float64[rows, blocks] sum of importance (weight - restored)^2 over each block."""
        errors = np.empty((len(weights), block_count(weights.shape[1], scale_block)))
        scales = np.ascontiguousarray(scales, np.float32)
        entries, work = (self.array, self.thresholds), _work_space(weights.shape[1])
        kernels.table_errors(weights, importance, scales, scale_block, *entries, *work, errors)
        return errors


def _work_space(cols: int) -> tuple[np.ndarray, np.ndarray]:
    return np.empty(cols, np.float32), np.empty(cols, np.int32)


def thresholds(values: np.ndarray, *, even: int | None = None) -> np.ndarray:
    """float32[..., n - 1] between ascending float64 values[..., n]; see `Table.thresholds`.

    Args:
        values: the entries.
        even: parity of the indices that win a tie; None if the lower one always does.
    """
    midpoints: np.ndarray = (values[..., 1:] + values[..., :-1]) / 2
    below: np.ndarray = midpoints.astype(np.float32)
    previous = np.nextafter(below, np.float32(-np.inf))
    below = np.where(below > midpoints, previous, below)
    if even is None:
        return below
    upper_wins = (np.arange(midpoints.shape[-1]) + 1) % 2 == even
    moved: np.ndarray = np.where(upper_wins & (below == midpoints), previous, below)
    return moved


@lru_cache
def minifloat_table(element: Minifloat) -> Table:
    """Every different value of a minifloat."""
    return Table(tuple(np.unique(element.values).tolist()))


@lru_cache
def integer_table(low: int, high: int) -> Table:
    """The whole numbers low..high."""
    return Table(tuple(float(i) for i in range(low, high + 1)))


def least(errors: Iterable[np.ndarray]) -> np.ndarray:
    """intp[...] which of several error arrays is least at each place; the first of equals.

    >>> least(np.array([[3, 1], [2, 1], [2, 0]]))
    array([1, 2])
    """
    errors = iter(errors)
    lowest = np.array(next(errors))
    chosen = np.zeros(lowest.shape, np.intp)
    for n, error in enumerate(errors, 1):
        better = error < lowest
        chosen[better] = n
        lowest[better] = error[better]
    return chosen
