"""Checks of arrays and sizes that several parts of the package make.

What is refused is the same everywhere; the sentence that says so is the caller's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from amssim._tensors import array_of, is_tensor
from amssim.errors import InputError

#: Names of the dtypes of weights and of right-hand sides.
FLOATS = ("float16", "bfloat16", "float32", "float64")


class Wrong(NamedTuple):
    """How many numbers of a matrix are wrong, and the index of the first; () if none is."""

    total: int
    first: tuple[int, ...]


def is_matrix(array: np.ndarray) -> bool:
    """Whether ``array`` has two dimensions."""
    return array.ndim == 2


def is_filled(array: np.ndarray) -> bool:
    """Whether ``array`` has an item."""
    return array.size > 0


def is_filled_matrix(array: np.ndarray) -> bool:
    """Whether ``array`` has two dimensions, and an item."""
    return is_matrix(array) and is_filled(array)


def has_floats(array: np.ndarray) -> bool:
    """Whether the dtype is a real float of NumPy's, or bfloat16."""
    return array.dtype.kind == "f" or array.dtype.name == "bfloat16"


def has_weight_floats(array: np.ndarray) -> bool:
    """Whether the dtype is one of `FLOATS`."""
    return array.dtype.name in FLOATS


def as_array(values: Any, name: str) -> np.ndarray:
    """Return ``values`` as an array, not copied if they are one, or a tensor of PyTorch.

    Raises:
        InputError: nested sequences of uneven lengths and the like; see also `array_of`.
    """
    try:
        return array_of(values, name) if is_tensor(values) else np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{name} cannot be read as an array: {error}") from None


def check_array(
    array: np.ndarray, name: str, *rules: tuple[Callable[[np.ndarray], bool], str]
) -> np.ndarray:
    """Return ``array`` if every rule holds.

    Args:
        array: what is checked.
        name: what sentences call it.
        rules: pairs of a condition and the sentence for an array that does not meet it, in which
            {name}, {dtype}, {shape} and {kind}, such as ``float32[3, 4]``, are filled in.

    Raises:
        InputError: with the sentence of the first rule that does not hold.

    >>> check_array(np.ones(3), "x", (is_matrix, "{name} must be a matrix, found {kind}"))
    Traceback (most recent call last):
    amssim.errors.InputError: x must be a matrix, found float64[3]
    """
    for holds, sentence in rules:
        if not holds(array):
            shape, dtype = list(array.shape), array.dtype.name
            found = {"shape": shape, "dtype": dtype, "kind": kind(array)}
            raise InputError(sentence.format(name=name, **found))
    return array


def check_finite(matrix: np.ndarray, name: str, sentence: str) -> None:
    """Raise `InputError` if ``matrix`` holds a NaN or an infinity.

    ``sentence`` has places for {name}, {count} and the index {first}, such as ``[0, 3]``.
    """
    wrong = find_wrong([((0,), matrix)])
    if wrong.total:
        raise InputError(sentence.format(name=name, count=wrong.total, first=list(wrong.first)))


def not_finite(array: np.ndarray) -> np.ndarray:
    """Return where ``array`` is NaN or infinite, bool of its shape."""
    return np.asarray(~np.isfinite(array))


def find_wrong(
    blocks: Iterable[tuple[tuple[int, ...], np.ndarray]],
    wrong: Callable[[np.ndarray], np.ndarray] = not_finite,
) -> Wrong:
    """Count the wrong numbers of an array that comes in blocks of rows.

    Args:
        blocks: pairs of the index of a block's first row in the array, and the block, a matrix.
        wrong: tells which numbers of a block are wrong, bool[rows, columns].

    >>> find_wrong([((0,), np.float32([[1, np.nan]])), ((1,), np.float32([[np.inf, 2]]))])
    Wrong(total=2, first=(0, 1))
    """
    total = 0
    first: tuple[int, ...] = ()
    for (*outer, start), block in blocks:
        places = np.argwhere(wrong(block))
        if not total and len(places):
            row, column = places[0].tolist()
            first = (*outer, start + row, column)
        total += len(places)
    return Wrong(total, first)


def kind(array: np.ndarray) -> str:
    """Return dtype and shape as messages say them, such as ``float32[3, 4]``."""
    return f"{array.dtype.name}{list(array.shape)}"
