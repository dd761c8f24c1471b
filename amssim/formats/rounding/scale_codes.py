"""8-bit and smaller scales: powers of two (E8M0) and minifloats of positive values."""

from __future__ import annotations

import ml_dtypes
import numpy as np

from amssim.minifloat import Minifloat

E8M0_BIAS = 127
E4M3_MAX = 448.0
# Unsigned E3M3 whose last code is no number, as in E4M3: 63 values, 0 to 28.
E3M3 = np.unique(np.abs(Minifloat(3, 3).values))[:-1]


def e8m0(exponents: np.ndarray) -> np.ndarray:
    """uint8 codes of 2^exponents, kept within 2^-127 .. 2^127."""
    codes: np.ndarray = np.clip(exponents + E8M0_BIAS, 0, 254).astype(np.uint8)
    return codes


def from_e8m0(codes: np.ndarray) -> np.ndarray:
    """float32 2^(code - 127)."""
    return np.ldexp(np.float32(1), codes.astype(np.int32) - E8M0_BIAS)


def e4m3(scales: np.ndarray) -> np.ndarray:
    """uint8 codes of the E4M3 values nearest to positive ``scales``, none of them zero."""
    clipped = np.clip(scales, 2.0**-9, E4M3_MAX).astype(np.float32)
    codes: np.ndarray = clipped.astype(ml_dtypes.float8_e4m3fn).view(np.uint8)
    return codes


def from_e4m3(codes: np.ndarray) -> np.ndarray:
    """float32 value of E4M3 codes."""
    scales: np.ndarray = codes.view(ml_dtypes.float8_e4m3fn).astype(np.float32)
    return scales


def e3m3(scales: np.ndarray) -> np.ndarray:
    """uint8 codes, 1 to 62, of the E3M3 values nearest to positive ``scales``."""
    midpoints = (E3M3[1:].astype(np.float64) + E3M3[:-1]) / 2
    return np.maximum(np.searchsorted(midpoints, scales), 1).astype(np.uint8)


def from_e3m3(codes: np.ndarray) -> np.ndarray:
    """float32 value of E3M3 codes."""
    scales: np.ndarray = E3M3[codes]
    return scales
