"""The right-hand side x: checked, as columns of float32, and quantised for the integer sums."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from amssim.errors import InputError

#: How x takes part in the sums: as float32, or quantised to 127 or 32512 steps on either side.
ACTIVATIONS = ("float32", "int16", "int8")
_DTYPES = ("float16", "bfloat16", "float32", "float64")
_PLANE_MAX = 127
#: int16 activations are 255 high + low; both planes lie in [-127, 127], never at -128.
PLANE_RADIX = 2 * _PLANE_MAX + 1
#: Largest whole number of each integer kind.
LARGEST_STEP = {"int8": _PLANE_MAX, "int16": PLANE_RADIX * _PLANE_MAX + _PLANE_MAX}
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
    x = np.asarray(x)
    if x.dtype.name not in _DTYPES:
        raise InputError(f"x must be {', '.join(_DTYPES)}, found {x.dtype.name}: convert it first")
    if x.ndim not in (1, 2) or x.shape[0] != columns:
        raise InputError(
            f"x must have shape ({columns},) or ({columns}, batch) for a matrix with {columns} "
            f"columns, found {x.shape}"
        )
    with np.errstate(over="ignore"):  # a float64 beyond float32 is Inf, as in any cast
        return np.ascontiguousarray(x.reshape(columns, -1).T, np.float32)


def quantize_columns(x: np.ndarray, activations: str) -> Quantized:
    """Round each row of float32[n, columns] to whole multiples of its own scale.

    scale = max|x| / limit by one float32 division, at least the smallest normal float32, with
    limit 127 for int8 and 32512 for int16; steps = x / scale in float32, rounded half to even.

    Raises:
        InputError: NaN or Inf.
    """
    limit = np.float32(LARGEST_STEP[activations])
    absmax = np.abs(x).max(axis=1, initial=0)
    if not np.isfinite(absmax).all():
        raise InputError(_not_finite(x, activations))
    scale = np.maximum(absmax / limit, _SMALLEST_SCALE)
    steps = x / scale[:, None]
    return Quantized(np.rint(steps, out=steps), scale)


def planes(steps: np.ndarray, activations: str) -> np.ndarray:
    """float32[n, columns] whole numbers -> int8[n * planes, columns], 1 or 2 planes each, high first."""
    if activations == "int8":
        return steps.astype(np.int8)
    high = np.rint(steps / np.float32(PLANE_RADIX))
    both = np.empty((len(steps), 2, steps.shape[1]), np.int8)
    both[:, 0] = high
    both[:, 1] = steps - np.float32(PLANE_RADIX) * high
    return both.reshape(-1, steps.shape[1])


def _not_finite(x: np.ndarray, activations: str) -> str:
    where = np.argwhere(~np.isfinite(x.T))
    first = "x[{}]" if len(x) == 1 else "x[{}, {}]"
    return (
        f"x has {len(where)} values that are NaN, Inf or beyond float32, the first at "
        f"{first.format(*where[0])}: activations={activations!r} needs finite numbers"
    )
