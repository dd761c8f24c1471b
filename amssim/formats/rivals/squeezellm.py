"""SqueezeLLM: a table per row by weighted k-means, and a few weights kept in 16 bits beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from amssim.errors import SchemeError
from amssim.formats.base import Format, MatrixShape, Parts, StoredPart
from amssim.formats.input_moments import InputMoments
from amssim.formats.rounding.blocks import check_width, half_values
from amssim.formats.rounding.kmeans import nearest_centroids, row_centroids


@dataclass(frozen=True, kw_only=True)
class SqueezeLlm(Format):
    """w = t_row[code], except the largest ``outliers`` of the tensor, stored sparsely (CSR).

    The tables minimise sum_j h_j (w_j - t)^2 over the other weights, h the second moments of the
    inputs. ``outliers`` is a share of the weights, rounded down to a count; 0 is the dense form.

    >>> SqueezeLlm(bits=4).bits_per_weight((64, 4096))  # 4 + 16 * 16 / 4096
    Fraction(65, 16)
    """

    family: ClassVar[str] = "table"
    formula: ClassVar[str] = "b + 16 2^b/cols + p (16 + 16) + 32 (rows + 1)/n where p > 0"
    source: ClassVar[str] = "SqueezeLLM, arXiv 2306.07629"
    simplified: ClassVar[str] = (
        "inputs' second moments instead of squared gradients; outliers by magnitude alone; "
        "16-bit tables, values and columns"
    )
    checked: ClassVar[str] = "scikit-learn KMeans (golden vectors); brute force on short rows"
    uses: ClassVar[str] = "diagonal"

    bits: int = 4
    outliers: float = 0.0

    def __post_init__(self) -> None:
        check_width("squeezellm", self.bits, 1, 8)
        if not 0 <= self.outliers < 1:
            raise SchemeError(f"outliers must be a share from 0 to below 1, found {self.outliers}")

    @property
    def name(self) -> str:
        """Such as ``squeezellm4``, and the share of outliers if there are any."""
        return f"squeezellm{self.bits}" + (f" {self.outliers:.3g}" if self.outliers else "")

    def layout(self, shape: MatrixShape) -> dict[str, StoredPart]:
        """Return codes and tables, and the sparse values with their places."""
        parts = {
            "codes": StoredPart(shape, self.bits),
            "tables": StoredPart((shape[0], 2**self.bits), 16),
        }
        count = self._count(shape)
        if not count:
            return parts
        index_bits = 16 if shape[1] <= 1 << 16 else 32
        sparse = {"values": StoredPart((count,), 16), "columns": StoredPart((count,), index_bits)}
        return parts | sparse | {"row_starts": StoredPart((shape[0] + 1,), 32)}

    def encode(self, weights: np.ndarray, moments: InputMoments) -> Parts:
        """Set the outliers apart, then fit a table to each row."""
        rows, columns = self._outliers(weights)
        h = np.broadcast_to(moments.importance, weights.shape).copy()
        h[rows, columns] = 0
        tables = half_values(row_centroids(weights, h, 2**self.bits))
        parts = {"codes": nearest_centroids(weights, tables), "tables": tables}
        if not len(rows):
            return parts
        starts = np.searchsorted(rows, np.arange(len(weights) + 1)).astype(np.uint32)
        sparse = {"values": half_values(weights[rows, columns]), "columns": columns}
        return parts | sparse | {"row_starts": starts}

    def decode(self, parts: Parts, shape: MatrixShape) -> np.ndarray:
        """Look the codes up, then put the sparse values in their places."""
        restored = np.take_along_axis(parts["tables"], parts["codes"].astype(np.intp), axis=1)
        restored = restored.astype(np.float32)
        if "values" in parts:
            counts: np.ndarray = np.diff(parts["row_starts"].astype(np.int64))
            rows = np.repeat(np.arange(shape[0]), counts)
            restored[rows, parts["columns"]] = parts["values"]
        return restored

    def _count(self, shape: MatrixShape) -> int:
        return int(self.outliers * shape[0] * shape[1])

    def _outliers(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows and columns of the largest magnitudes, in storage order."""
        count = self._count(weights.shape)
        order = np.argsort(-np.abs(weights), axis=None, kind="stable")[:count]
        rows, columns = np.unravel_index(np.sort(order), weights.shape)
        narrow = np.uint16 if weights.shape[1] <= 1 << 16 else np.uint32
        return rows, columns.astype(narrow)
