"""How far restored weights are from the originals: per tensor, and combined over tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from amssim._checks import as_array
from amssim._jit import jit
from amssim._threads import over_rows, thread_count
from amssim.errors import InputError

# |error| is counted by its float32 exponent and upper 9 mantissa bits: bins 0.2 % wide at most.
_BIN_SHIFT = 14
_BINS = 1 << (31 - _BIN_SHIFT)
_ROWS_AT_ONCE = 64


@dataclass(frozen=True)
class Metrics:
    """Sums over the weights w and restored weights r of one or several tensors, and what follows.

    The sums are float64, in column order within a row and pairwise over rows, so they do not
    depend on the number of threads. Metrics add up: ``a + b`` describes both tensors together.

    >>> m = Metrics.of(np.float32([[3, 4]]), np.float32([[3, 3.5]]))
    >>> m.mse, round(m.sqnr_db, 2), m.relative_frobenius, m.max_error
    (0.125, 20.0, 0.1, 0.5)
    """

    count: int = 0
    weight_squares: float = 0.0
    restored_squares: float = 0.0
    products: float = 0.0
    error_squares: float = 0.0
    max_error: float = 0.0
    error_histogram: np.ndarray = field(
        default_factory=lambda: np.zeros(_BINS, np.int64), repr=False, compare=False
    )
    #: what `p99_error` is where the histogram, a megabyte, was given up
    _known_p99: float | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of(cls, weights: Any, restored: Any, *, threads: int | None = None) -> Metrics:
        """Measure ``restored`` against ``weights``: two matrices of one shape, any float dtype.

        They are arrays or tensors of PyTorch.

        float64 input is rounded to float32 first, and each |w - r| is for ``max_error``.

        Raises:
            InputError: shapes that differ, or matrices that are not 2-D and filled.
        """
        weights, restored = as_array(weights, "weights"), as_array(restored, "restored")
        if weights.shape != restored.shape or weights.ndim != 2 or not weights.size:
            raise InputError(
                "metrics compare two matrices of one shape, "
                f"found {list(weights.shape)} and {list(restored.shape)}"
            )
        rows = weights.shape[0]
        sums = np.zeros((rows, 4))
        largest = np.zeros(rows, np.float32)
        histograms = []

        def measure(start: int, stop: int) -> None:
            own = np.zeros(_BINS, np.int64)
            for first in range(start, stop, _ROWS_AT_ONCE):
                part = slice(first, min(first + _ROWS_AT_ONCE, stop))
                w = np.ascontiguousarray(weights[part], np.float32)
                r = np.ascontiguousarray(restored[part], np.float32)
                _measure_rows(w, r, sums[part], largest[part], own)
            histograms.append(own)

        over_rows(measure, rows, thread_count(threads))
        ww, rr, wr, ee = sums.sum(axis=0).tolist()
        histogram = np.sum(histograms, axis=0)
        return cls(weights.size, ww, rr, wr, ee, float(largest.max()), histogram)

    @classmethod
    def total(cls, by_name: Mapping[str, Metrics]) -> Metrics:
        """Combine the metrics of several tensors, added in name order."""
        return sum((by_name[name] for name in sorted(by_name)), cls())

    def __add__(self, other: Metrics) -> Metrics:
        return Metrics(
            self.count + other.count,
            self.weight_squares + other.weight_squares,
            self.restored_squares + other.restored_squares,
            self.products + other.products,
            self.error_squares + other.error_squares,
            max(self.max_error, other.max_error),
            self.error_histogram + other.error_histogram,
        )

    def settled(self) -> Metrics:
        """Return the same without the histogram, so that many can be kept; sums lack the p99."""
        none = np.empty(0, np.int64)
        return replace(self, error_histogram=none, _known_p99=self.p99_error)

    @property
    def mse(self) -> float:
        """Mean squared error, sum (w - r)^2 / count."""
        return self.error_squares / self.count if self.count else 0.0

    @property
    def sqnr_db(self) -> float:
        """Signal to quantisation noise, 10 log10(sum w^2 / sum (w - r)^2) dB; inf without error."""
        if not self.error_squares:
            return math.inf
        ratio = self.weight_squares / self.error_squares
        return 10 * math.log10(ratio) if ratio else -math.inf

    @property
    def relative_frobenius(self) -> float:
        """||W - R|| / ||W|| in the Frobenius norm."""
        if not self.error_squares:
            return 0.0
        if not self.weight_squares:
            return math.inf
        return math.sqrt(self.error_squares / self.weight_squares)

    @property
    def cosine(self) -> float:
        """Cosine of the angle between W and R as vectors; 1 where both are zero."""
        norms = math.sqrt(self.weight_squares) * math.sqrt(self.restored_squares)
        if norms:
            return self.products / norms
        return float(self.weight_squares == self.restored_squares)

    @property
    def p99_error(self) -> float:
        """|w - r| that 99 % of the weights do not exceed, rounded up by 0.2 % at most."""
        if self._known_p99 is not None or not self.count:
            return self._known_p99 or 0.0
        rank = math.ceil(0.99 * self.count)
        position = int(np.searchsorted(np.cumsum(self.error_histogram), rank))
        edge = np.uint32(((position + 1) << _BIN_SHIFT) - 1).view(np.float32)
        return min(float(edge), self.max_error) if position else 0.0

    def as_dict(self) -> dict[str, float | int | None]:
        """Return the figures by name for JSON; an infinite one is None."""
        names = ("mse", "sqnr_db", "relative_frobenius", "cosine", "max_error", "p99_error")
        figures = {name: getattr(self, name) for name in names}
        finite = {name: v if math.isfinite(v) else None for name, v in figures.items()}
        return {"count": self.count} | finite


@jit
def _measure_rows(
    weights: np.ndarray,
    restored: np.ndarray,
    sums: np.ndarray,
    largest: np.ndarray,
    histogram: np.ndarray,
) -> None:
    """sums[i] = (w.w, r.r, w.r, e.e) of row i, with e = w - r.

    weights, restored  float32[rows, cols]
    sums               float64[rows, 4]
    largest            float32[rows]  max |e|
    histogram          int64[bins]    counts of |e|, added to
    """
    for i in range(weights.shape[0]):
        ww = rr = wr = ee = 0.0
        top = np.float32(0)
        for j in range(weights.shape[1]):
            w, r = np.float64(weights[i, j]), np.float64(restored[i, j])
            e = w - r
            ww += w * w
            rr += r * r
            wr += w * r
            ee += e * e
            size = np.float32(abs(e))
            top = size if size > top else top
            histogram[_bin_of(size)] += 1
        sums[i, 0], sums[i, 1], sums[i, 2], sums[i, 3] = ww, rr, wr, ee
        largest[i] = top


@jit
def _bin_of(size: np.float32) -> Any:
    """Bin of the float32 ``size`` >= 0: its bit pattern without the lowest 14 bits."""
    return np.float32(size).view(np.uint32) >> np.uint32(_BIN_SHIFT)
