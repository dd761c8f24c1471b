"""The right-hand side x: checked, as columns of float32, and quantised for the integer sums."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from amssim._jit import jit
from amssim.codec.float_bits import float_of
from amssim.errors import InputError

#: How x takes part in the sums: as float32, or quantised to 127 or 32512 steps on either side.
ACTIVATIONS = ("float32", "int16", "int8")
_DTYPES = ("float16", "bfloat16", "float32", "float64")
#: The largest whole number of each integer kind. 32512 = 255 * 127 + 127 is the most that two
#: planes of int8 hold, 255 high + low within [-127, 127], so that kernels may use those.
LARGEST_STEP = {"int8": 127, "int16": 32512}
_SMALLEST_SCALE = np.finfo(np.float32).smallest_normal


class Quantized(NamedTuple):
    """Columns of x as whole numbers: x[n] is about ``steps[n] * scale[n]``."""

    steps: np.ndarray  #: float32[n, columns], whole numbers
    scale: np.ndarray  #: float32[n]


def check_activations(activations: str) -> str:
    """Return ``activations`` if it is one of `ACTIVATIONS`, else raise `InputError`."""
    if activations in ACTIVATIONS:
        return activations
    raise InputError(f"unknown activations {activations!r}: choose one of {', '.join(ACTIVATIONS)}")


def as_columns(x, columns: int) -> np.ndarray:
    """Return x[columns] or x[columns, n] as a contiguous float32[n, columns], n = 1 for a vector.

    Raises:
        InputError: another dtype than float16, bfloat16, float32 or float64, or another shape.
    """
    try:
        x = np.asarray(x)
    except ValueError as error:
        raise InputError(f"x is not an array: {error}") from None
    if x.dtype.name not in _DTYPES:
        raise InputError(f"x must be {', '.join(_DTYPES)}, found {x.dtype.name}: convert it first")
    if x.ndim not in (1, 2) or x.shape[0] != columns:
        raise InputError(
            f"x must have shape ({columns},) or ({columns}, batch) for a matrix with {columns} "
            f"columns, found {x.shape}"
        )
    with np.errstate(over="ignore"):  # a float64 beyond float32 is Inf, as in any cast
        return np.ascontiguousarray((x if x.ndim == 2 else x[:, None]).T, np.float32)


def quantize_columns(x: np.ndarray, activations: str) -> Quantized:
    """Round each row of float32[n, columns] to whole multiples of its own scale.

    scale = max|x| / limit by one float32 division, at least the smallest normal float32, with
    limit 127 for int8 and 32512 for int16; steps = x / scale in float32, rounded half to even.

    Raises:
        InputError: NaN or Inf.
    """
    steps, scale = np.empty_like(x), np.empty(len(x), np.float32)
    _quantize(x, np.float32(LARGEST_STEP[activations]), _SMALLEST_SCALE, steps, scale)
    if not np.isfinite(scale).all():
        raise InputError(_not_finite(x, activations))
    return Quantized(steps, scale)


def _not_finite(x: np.ndarray, activations: str) -> str:
    where = np.argwhere(~np.isfinite(x.T))
    row, column = where[0]
    return (
        f"x holds NaN, Inf or numbers beyond float32 (count {len(where)}, the first in row {row}, "
        f"column {column}): {activations} activations need finite numbers"
    )


@jit
def _quantize(x, largest, smallest_scale, steps, scale):
    """scale[n] = max_k |x[n, k]| / largest; steps[n, k] = x[n, k] / scale[n], rounded to even.

    x, steps  float32[n, columns]
    scale     float32[n]           not finite where a row of x is not
    """
    for n in range(x.shape[0]):
        most = np.uint32(0)
        bits = x[n].view(np.uint32)
        for k in range(x.shape[1]):  # magnitudes order like their bits, NaN above Inf
            magnitude = np.uint32(bits[k] & np.uint32(0x7FFFFFFF))
            most = magnitude if magnitude > most else most
        quotient = np.float32(float_of(most) / largest)
        scale[n] = smallest_scale if quotient < smallest_scale else quotient
        for k in range(x.shape[1]):
            steps[n, k] = np.rint(np.float32(x[n, k] / scale[n]))
