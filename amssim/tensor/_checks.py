"""What the codec and the products take from users. Each refusal is one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from amssim._checks import (
    FLOATS,
    as_array,
    check_array,
    find_wrong,
    has_weight_floats,
    is_filled,
    is_matrix,
    kind,
    not_finite,
)
from amssim._tensors import is_tensor, is_tensor_dtype
from amssim._whole import is_positive_whole
from amssim.codec.bands import row_bands
from amssim.errors import InputError
from amssim.layout import layout
from amssim.scheme import Scheme

_ANY_FLOAT = "float16, bfloat16, float32 or float64"
_FILLED_MATRIX = (
    (is_matrix, "{name} must be a matrix (rows, columns), found {kind}"),
    (is_filled, "{name} must have a row and a column at least, found {kind}"),
)


def check_weight_matrix(weights: Any, name: str) -> np.ndarray:
    """Return ``weights`` as an array, not copied: a filled matrix of one of `FLOATS`."""
    floats = has_weight_floats, f"{{name}} must be a matrix of {_ANY_FLOAT}, found {{kind}}"
    return check_array(as_array(weights, name), name, floats, *_FILLED_MATRIX)


def check_weight_dtype(dtype: Any) -> np.dtype[Any]:
    """Return ``dtype``, a type of NumPy's or PyTorch's or a name, if it is one of `FLOATS`."""
    import ml_dtypes

    if is_tensor_dtype(dtype):
        dtype = str(dtype).removeprefix("torch.")
    try:
        chosen: np.dtype[Any] | None = np.dtype(
            ml_dtypes.bfloat16 if isinstance(dtype, str) and dtype == "bfloat16" else dtype
        )
    except (TypeError, ValueError):
        chosen = None
    if dtype is None or chosen is None or chosen.name not in FLOATS or not chosen.isnative:
        raise InputError(f"dtype must be {_ANY_FLOAT}, found {dtype!r}")
    return chosen


def check_scales_finite(weights: np.ndarray, scales: np.ndarray, name: str) -> None:
    """Raise if ``scales``, which are not finite where a weight was not, tell of such weights."""
    if np.isfinite(scales).all():
        return
    count, first = find_wrong(_bands(weights))
    if count:
        raise InputError(
            f"{name} holds {_plural(count, 'NaN or infinite value')}, {_at(weights, first)}"
        )
    limit = np.finfo(np.float32).max
    with np.errstate(over="ignore"):
        count, first = find_wrong(_bands(weights), lambda part: not_finite(part.astype(np.float32)))
    raise InputError(
        f"{name} holds {_plural(count, 'value')} beyond float32, whose largest is {limit:.6g}, "
        f"{_at(weights, first)}: scale the matrix down"
    )


def check_importance(importance: Any, columns: int) -> np.ndarray:
    """Return ``importance`` as float32[columns]; float32[0] for None."""
    if importance is None:
        return np.empty(0, np.float32)
    array = as_array(importance, "importance")
    if array.dtype.name not in FLOATS and array.dtype.kind not in "iu":
        raise InputError(f"importance must be real numbers, found {kind(array)}")
    if array.shape != (columns,):
        raise InputError(
            f"importance must have one number for each of {columns} columns, found {kind(array)}"
        )
    with np.errstate(over="ignore"):
        values = np.ascontiguousarray(array, np.float32)
    wrong = np.flatnonzero(~(np.isfinite(values) & (values >= 0)))
    if wrong.size:
        raise InputError(
            "importance must be finite in float32 and not negative, "
            f"found {array[wrong[0]]} at column {wrong[0]}"
        )
    return values


def check_codes(codes: Any) -> np.ndarray:
    """Return ``codes`` as a filled C-contiguous uint8 matrix."""
    array = as_array(codes, "codes")
    if array.dtype != np.uint8:
        raise InputError(f"codes must be a matrix of uint8, found {kind(array)}")
    return np.ascontiguousarray(check_array(array, "codes", *_FILLED_MATRIX))


def invalid_codes(codes: np.ndarray, scheme: Scheme) -> InputError:
    """Return the error for ``codes`` of which `pack_rows` found some that cannot be packed."""
    bits = scheme.minifloat.bits
    too_large = np.argwhere(codes >> np.uint8(bits - 1) > 1)
    if too_large.size:
        row, column = too_large[0]
        return InputError(
            f"codes of {scheme} have {bits} bits, "
            f"found {codes[row, column]} at row {row}, column {column}"
        )
    first = np.arange(codes.shape[1]) // scheme.k * scheme.k
    row, column = np.argwhere((codes ^ codes[:, first]) & 1)[0]
    return InputError(
        f"codes of a group of {scheme.k} must share their last bit, found {codes[row, column]} at "
        f"row {row}, column {column}, after {codes[row, first[column]]} at column {first[column]}"
    )


def check_columns(columns: Any) -> int:
    """Return the number of columns to unpack as an int."""
    if not is_positive_whole(columns):
        raise InputError(f"columns must be a positive whole number, found {columns!r}")
    return int(columns)


def check_words(words: Any, scheme: Scheme, columns: int) -> np.ndarray:
    """Return ``words`` as a C-contiguous uint16 matrix that holds ``columns`` weights a row."""
    array = as_array(words, "words")
    expected = layout(scheme).row_words(columns)
    if array.dtype != np.uint16 or array.ndim != 2 or array.shape[1] != expected:
        raise InputError(
            f"words of {columns} columns in {scheme} must be uint16[rows, {expected}], "
            f"found {kind(array)}"
        )
    return np.ascontiguousarray(check_array(array, "words", *_FILLED_MATRIX))


def check_out(out: Any, shape: tuple[int, int], dtype: np.dtype[Any]) -> np.ndarray:
    """Return ``out`` if a result can be written there; a new array if it is None."""
    if out is None:
        return np.empty(shape, dtype)
    if is_tensor(out):
        out = as_array(out, "out")
    if not isinstance(out, np.ndarray) or out.shape != shape or out.dtype != dtype:
        found = kind(out) if isinstance(out, np.ndarray) else type(out).__name__
        raise InputError(f"out must be {dtype.name}{list(shape)}, found {found}")
    if not out.flags.writeable:
        raise InputError("out must be writable, found a read-only array")
    return out


def check_batch(x: Any, columns: int, *, axis: int = -1) -> np.ndarray:
    """Return x[columns] or x[batch, columns] as a contiguous float32[batch, columns].

    With ``axis`` 0 the columns come first: x[columns, batch].

    Raises:
        InputError: another dtype than float16, bfloat16, float32 or float64, or another shape.
    """
    array = as_array(x, "x")
    if not has_weight_floats(array):
        floats = ", ".join(FLOATS)
        raise InputError(f"x must be {floats}, found {array.dtype.name}: convert it first")
    if array.ndim not in (1, 2) or array.shape[axis] != columns:
        batch = f"({columns}, batch)" if axis == 0 else f"(batch, {columns})"
        raise InputError(
            f"x must have shape ({columns},) or {batch} for a matrix with {columns} columns, "
            f"found {array.shape}"
        )
    batch_first = array.T if axis == 0 else array
    with np.errstate(over="ignore"):  # a float64 beyond float32 is Inf, as in any cast
        return np.ascontiguousarray(np.atleast_2d(batch_first), np.float32)


def _bands(weights: np.ndarray) -> Iterator[tuple[tuple[int], np.ndarray]]:
    for start, stop in row_bands(0, *weights.shape):
        yield (start,), weights[start:stop]


def _at(weights: np.ndarray, place: tuple[int, ...]) -> str:
    return f"the first, {weights[place]}, at row {place[0]}, column {place[1]}"


def _plural(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count > 1)}"
