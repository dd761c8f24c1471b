"""One order of the columns for all rows, so that a format's groups and blocks suit each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from amssim import reference
from amssim.errors import SchemeError
from amssim.formats.ams.ams import Ams
from amssim.formats.base import Format, MatrixShape, Parts, StoredPart
from amssim.formats.input_moments import InputMoments
from amssim.scheme import Scheme

#: ``norm`` and ``importance`` sort by the columns' norms and by E[x_j^2], largest first;
#: ``affinity`` puts columns together whose weights tend to want the same shared bit.
COLUMN_ORDERS = ("norm", "importance", "affinity")


@dataclass(frozen=True)
class Permuted(Format):
    """``inner`` on reordered columns; the permutation is stored and counted.

    A kernel needs it only as the order of its inputs, which is free where the layer before can
    write them so.
    """

    family: ClassVar[str] = "AMS, extended"
    formula: ClassVar[str] = "bits of the inner format + ceil(log2 cols)/rows"
    source: ClassVar[str] = "ours; importance order as GPTQ's act-order (IST-DASLab/gptq)"
    simplified: ClassVar[str] = ""
    checked: ClassVar[str] = "the inner format on columns moved by hand"
    uses: ClassVar[str] = "full"

    inner: Format
    order: str = "norm"

    def __post_init__(self) -> None:
        if self.order not in COLUMN_ORDERS:
            raise SchemeError(
                f"unknown order {self.order!r}: choose one of {', '.join(COLUMN_ORDERS)}"
            )
        if self.order == "affinity" and not isinstance(self.inner, Ams):
            raise SchemeError("order 'affinity' needs an AMS format: others share no bit")

    @property
    def name(self) -> str:
        """The inner format's name, and what the columns are ordered by."""
        return f"{self.inner.name} by {self.order}"

    def layout(self, shape: MatrixShape) -> dict[str, StoredPart]:
        """Return the inner format's parts and the permutation."""
        index_bits = max(1, (shape[1] - 1).bit_length())
        return self.inner.layout(shape) | {"columns": StoredPart((shape[1],), index_bits)}

    def encode(self, weights: np.ndarray, moments: InputMoments) -> Parts:
        """Reorder the columns and store them in the inner format."""
        columns = self._columns(weights, moments)
        moved = InputMoments(_moved(moments.given, columns), len(columns))
        parts = self.inner.encode(np.ascontiguousarray(weights[:, columns]), moved)
        return {**parts, "columns": columns.astype(np.uint32)}

    def decode(self, parts: Parts, shape: MatrixShape) -> np.ndarray:
        """Put the columns back."""
        restored = np.empty(shape, np.float32)
        restored[:, parts["columns"]] = self.inner.decode(parts, shape)
        return restored

    def _columns(self, weights: np.ndarray, moments: InputMoments) -> np.ndarray:
        if self.order == "affinity" and isinstance(self.inner, Ams):
            return by_affinity(weights, self.inner.scheme)
        norms = np.einsum("ij,ij->j", weights, weights, dtype=np.float64)
        key = norms if self.order == "norm" else moments.importance
        return np.argsort(-key, kind="stable")


def _moved(moments: np.ndarray | None, columns: np.ndarray) -> np.ndarray | None:
    if moments is None or moments.ndim == 1:
        return None if moments is None else moments.take(columns)
    return moments.take(columns, axis=0).take(columns, axis=1)


def by_affinity(weights: np.ndarray, scheme: Scheme) -> np.ndarray:
    """int[cols] columns in groups of k, each filled greedily from a seed.

    d_ij, the squared error that shared bit 1 costs weight (i, j) more than 0, is summed over a
    group before its sign decides. Columns whose d agree in sign lose least by deciding together,
    so a group takes the column with the largest inner product with the sum of its members' d.
    """
    largest = np.abs(weights).max(axis=1, keepdims=True)
    x = weights / np.where(largest == 0, 1, largest) * np.float32(scheme.minifloat.max_value)
    even, odd = reference.candidates(x, scheme.minifloat, "adaptive")
    d = reference.excess_of_one(x, even, odd, scheme.minifloat).astype(np.float32)
    products = (d.T @ d).astype(np.float64)
    free, groups = np.ones(len(products), bool), []
    for seed in np.argsort(-np.diagonal(products), kind="stable"):
        if not free[seed]:
            continue
        group = [seed]
        free[seed] = False
        while len(group) < scheme.k and free.any():
            pull = np.where(free, products[group].sum(axis=0), -np.inf)
            group.append(int(np.argmax(pull)))
            free[group[-1]] = False
        groups.append(group)
    return np.concatenate([np.array(group) for group in groups])
