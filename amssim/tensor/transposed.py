"""The transpose of a packed tensor, which puts it to the right of a batch: ``x @ packed.T``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from amssim.tensor.packed import PackedTensor


class TransposedTensor:
    """A view of W[rows, columns] as its transpose, of which nothing is computed or copied.

    Made by `PackedTensor.T`; its own ``T`` is that tensor.

    >>> import amssim
    >>> packed = amssim.quantize(np.float32([[0.625, -1.125, 7.5], [7.5, 0.125, -0.375]]), "fp5.33")
    >>> np.float32([[2, 1, 1], [0, 0, 1]]) @ packed.T
    array([[ 7.625, 14.75 ],
           [ 7.5  , -0.375]], dtype=float32)
    """

    __array_ufunc__ = None  # x @ packed.T is ours, also where x is an array

    def __init__(self, packed: PackedTensor):
        self.T = packed

    @property
    def shape(self) -> tuple[int, int]:
        """(columns, rows) of the packed matrix."""
        rows, columns = self.T.shape
        return columns, rows

    def __rmatmul__(self, x: Any) -> np.ndarray:
        """Return the float32 products with x[columns] or x[batch, columns]; see `amssim.gemv`."""
        from amssim.tensor.product import gemv

        return gemv(self.T, x)

    def __repr__(self) -> str:
        return f"{self.T!r}.T"
