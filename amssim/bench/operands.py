"""Matrices to time: normal weights, and packed ones of random bits."""

from __future__ import annotations

import numpy as np

from amssim.layout import layout
from amssim.scheme import Scheme
from amssim.tensor.packed import PackedTensor

_ROWS_AT_ONCE = 256
_DEVIATION = np.float32(0.02)


def normal_weights(rows: int, columns: int) -> np.ndarray:
    """Return float32[rows, columns], normal with standard deviation 0.02, from a fixed seed."""
    rng = np.random.default_rng(0)
    weights = np.empty((rows, columns), np.float32)
    for start in range(0, rows, _ROWS_AT_ONCE):
        some = weights[start : start + _ROWS_AT_ONCE]
        some[:] = rng.standard_normal(some.shape, dtype=np.float32) * _DEVIATION
    return weights


def random_packed(scheme: Scheme, rows: int, columns: int) -> PackedTensor:
    """Return packed weights of random bits, so that every pattern occurs, from a fixed seed.

    Scales lie between 1/2 and 2, one per row. The time of a product does not depend on any of it.
    """
    rng = np.random.default_rng(0)
    shape = (rows, layout(scheme).row_words(columns))
    words = rng.integers(0, 2**16, shape, np.uint16)
    scales = np.exp2(rng.uniform(-1, 1, (rows, 1))).astype(np.float32)
    return PackedTensor(scheme, (rows, columns), words, scales)
