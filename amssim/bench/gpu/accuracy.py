"""How far a product on the GPU is from float64."""

from __future__ import annotations

from typing import Any

from amssim.bench.gpu.graphs import torch_or_error
from amssim.errors import MismatchError

#: Relative error of a float16 result that is accepted.
FLOAT16_ERROR = 1e-3
_ROWS_AT_ONCE = 8192  # of the weights, in float64


def exact_product(x: Any, weights: Any) -> Any:
    """Return float64[batch, rows] of x[batch, columns] and weights[rows, columns]."""
    parts = [x.double() @ some.double().t() for some in weights.split(_ROWS_AT_ONCE)]
    return torch_or_error().cat(parts, 1)


def checked_error(out: Any, expected: Any, *, accepted: float, what: str) -> float:
    """Return the relative error of ``out`` against `exact_product`, both [batch, rows].

    Args:
        accepted: the error must be less.
        what: was multiplied, for the message.

    Raises:
        MismatchError: the error is larger, or no number.
    """
    error = float((out.double() - expected).norm() / expected.norm())
    if not error < accepted:
        raise MismatchError(f"{what} differs from float64 by {error:.1e}")
    return error
