"""Scales of a row: by the rule absmax, and by the rule mse, the best of multiples of those."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from amssim._jit import inline, jit, leaf, part
from amssim.codec.constants import SMALLEST_SCALE
from amssim.codec.elements import bits_of, float_of, value_of
from amssim.codec.encoding import Encoder, put, put_zeros, settle
from amssim.rules import MSE_FACTORS

_MAGNITUDE = np.uint32(0x7FFFFFFF)
_FACTORS = np.array(MSE_FACTORS, np.float32)
# Candidates whose errors are summed at a time: the sums are in column order, each waiting for its
# last addition, so it takes several to keep the adder busy: 0.2 ns a weight, not 1.
_AT_A_TIME = 5
_SPAN_WEIGHTS = 2048  # 80 kB of squares: in L2


class ScaleSearch(NamedTuple):
    """An encoder and room for the errors of a span of columns."""

    encoder: Encoder
    span: int  #: columns at a time, whole groups
    squares: np.ndarray  #: float64[5, span]
    errors: np.ndarray  #: float64[candidates]

    @classmethod
    def of(cls, encoder: Encoder) -> ScaleSearch:
        """Allocate for ``encoder``."""
        span = encoder.layout.k * max(1, _SPAN_WEIGHTS // encoder.layout.k)
        return cls(encoder, span, np.zeros((_AT_A_TIME, span)), np.zeros(len(MSE_FACTORS)))


@part
def _absmax_scale(weights, max_value):
    """max |w| / max_value, at least the smallest normal; 1 for zeros; not finite if a weight is.

    The maximum is that of the bits as integers: no slower than reading the weights, and a NaN or
    Inf is the largest of all.

    weights    float32[n]
    max_value  float32
    """
    largest = np.uint32(0)
    for j in range(weights.shape[0]):
        magnitude = np.uint32(bits_of(weights[j]) & _MAGNITUDE)
        largest = magnitude if magnitude > largest else largest
    if largest == np.uint32(0):
        return np.float32(1)
    scale = np.float32(float_of(largest) / max_value)
    return SMALLEST_SCALE if scale < SMALLEST_SCALE else scale


@part
def absmax_scales(row, scale_block, max_value, scales):
    """One scale for every ``scale_block`` columns of a row.

    row          float32[cols]
    scale_block  int
    max_value    float32
    scales       float32[ceil(cols / scale_block)]  written
    """
    for b in range(scales.shape[0]):
        scales[b] = _absmax_scale(row[b * scale_block : (b + 1) * scale_block], max_value)


@jit
def mse_rows(weights, scale_block, search, scales):
    """Replace every absmax scale by the candidate with the least squared error.

    weights      float32[rows, cols]
    scale_block  int                                      columns per scale
    search       ScaleSearch
    scales       float32[rows, ceil(cols / scale_block)]  read and written
    """
    cols = weights.shape[1]
    for r in range(weights.shape[0]):
        for b in range(scales.shape[1]):
            start, stop = b * scale_block, min((b + 1) * scale_block, cols)
            scales[r, b] = _best_scale(weights[r], start, stop, scales[r, b], search)


@inline
def _best_scale(row, start, stop, base, search):
    """The first of the candidates with the least error over columns start..stop of ``row``."""
    if not _any(row, start, stop):
        return base
    errors, k = search.errors, search.encoder.layout.k
    errors[:] = 0
    for column in range(start // k * k, stop, search.span):
        for first in range(0, _FACTORS.shape[0], _AT_A_TIME):
            for i in range(_AT_A_TIME):
                scale = _candidate(base, first + i)
                count = _square(row, start, stop, column, scale, search.encoder, search.squares[i])
            _add_up(search.squares, count, errors[first : first + _AT_A_TIME])
    best = 0
    for i in range(1, errors.shape[0]):
        best = i if errors[i] < errors[best] else best
    return _candidate(base, best)


@part
def _any(row, start, stop):
    nonzero = False
    for j in range(start, stop):
        nonzero |= row[j] != np.float32(0)
    return nonzero


@leaf
def _candidate(base, i):
    scale = np.float32(base * _FACTORS[i])
    return SMALLEST_SCALE if scale < SMALLEST_SCALE else scale


@inline
def _square(row, start, stop, column, scale, encoder, squares):
    """Encode a span from ``column`` on, columns outside start..stop as zeros; square the errors.

    Returns how many columns are inside; their errors are the first of ``squares``.
    """
    k, importance = encoder.layout.k, encoder.importance
    first, last = max(start, column), min(stop, column + squares.shape[0])
    end = min((last + k - 1) // k * k, row.shape[0])
    put_zeros(encoder, np.int64(0), first - column)
    put(encoder, row[first:last], scale, first - column)
    put_zeros(encoder, last - column, end - column)
    settle(encoder, column, end - column)
    codes = encoder.chunk.codes[first - column :]
    _square_errors(row[first:last], codes, scale, encoder.element, squares)
    if importance.shape[0] > 0:
        _weigh_squares(squares, importance[first:last])
    return last - first


@part
def _square_errors(weights, codes, scale, element, squares):
    """squares[j] = (weights[j] - value of codes[j] * scale)^2 in float64."""
    for j in range(weights.shape[0]):
        value = np.float64(value_of(codes[j], element)) * np.float64(scale)
        error = np.float64(weights[j]) - value
        squares[j] = error * error


@part
def _weigh_squares(squares, importance):
    """squares[j] *= importance[j]."""
    for j in range(importance.shape[0]):
        squares[j] *= np.float64(importance[j])


@part
def _add_up(squares, count, errors):
    """errors[i] += the first ``count`` of squares[i], in order."""
    a, b, c, d, e = errors[0], errors[1], errors[2], errors[3], errors[4]
    for j in range(count):
        a += squares[0, j]
        b += squares[1, j]
        c += squares[2, j]
        d += squares[3, j]
        e += squares[4, j]
    errors[0], errors[1], errors[2], errors[3], errors[4] = a, b, c, d, e
