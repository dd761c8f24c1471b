"""Tables of values, the element side of most formats, and rounding to their nearest entry."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from amssim.formats import kernels
from amssim.formats.blocks import block_count
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
    def midpoints(self) -> np.ndarray:
        """float64[n - 1] halfway between neighbours."""
        v = self.array.astype(np.float64)
        return (v[1:] + v[:-1]) / 2

    @property
    def limit(self) -> float:
        """Largest magnitude."""
        return max(abs(self.values[0]), abs(self.values[-1]))

    @property
    def even(self) -> int:
        """Parity of the indices that win a tie; -1 if the lower one always does."""
        return self.values.index(0.0) % 2 if 0.0 in self.values else -1

    def codes(self, weights: np.ndarray, scales: np.ndarray, block: int) -> np.ndarray:
        """uint8[rows, cols] index of the entry nearest to weight / scale.

        Args:
            weights: float32[rows, cols].
            scales: float[rows, blocks], not zero.
            block: columns of a block.
        """
        codes = np.empty(weights.shape, np.uint8)
        scales = np.ascontiguousarray(scales, np.float32)
        kernels.nearest_codes(weights, scales, block, self.midpoints, self.even, codes)
        return codes

    def values_of(self, codes: np.ndarray) -> np.ndarray:
        """float32 entries at the codes."""
        return self.array[codes]

    def errors(self, weights, importance, scales, block: int) -> np.ndarray:
        """float64[rows, blocks] sum of importance (weight - restored)^2 over each block."""
        errors = np.empty((len(weights), block_count(weights.shape[1], block)))
        scales = np.ascontiguousarray(scales, np.float32)
        kernels.table_errors(
            weights, importance, scales, block, self.array, self.midpoints, self.even, errors
        )
        return errors


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
    for n, found in enumerate(errors, 1):
        better = found < lowest
        chosen[better] = n
        lowest[better] = found[better]
    return chosen
