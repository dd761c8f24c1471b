"""The adaptive search on any scales and tables, with the error it leaves in each scale block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from amssim.errors import SchemeError
from amssim.formats.rounding.blocks import block_count, in_blocks, per_column
from amssim.formats.rounding.table import Table


@dataclass(frozen=True)
class GroupSearch:
    """Rounds groups of ``k`` weights to the better of ``tables``; a scale for each ``scale_block``.

    ``importance`` float32[cols] weighs the squared errors.

    Raises:
        SchemeError: a scale block that cuts a group.
    """

    weights: np.ndarray
    importance: np.ndarray
    k: int
    scale_block: int

    def __post_init__(self) -> None:
        if self.scale_block % self.k and self.scale_block < self.weights.shape[1]:
            raise SchemeError(
                f"scale blocks of {self.scale_block} columns cut groups of {self.k}: "
                f"take a multiple of {self.k}"
            )

    def normalised(self, scales: np.ndarray) -> np.ndarray:
        """float32[rows, cols] weight / scale."""
        normalised: np.ndarray = self.weights / per_column(
            scales, self.scale_block, self.weights.shape[1]
        )
        return normalised

    def chosen(self, scales: np.ndarray, tables: Sequence[Table]) -> np.ndarray:
        """uint8[rows, groups] the table with the least error, the first of equals."""
        best: np.ndarray = np.argmin(self._group_errors(scales, tables), axis=0).astype(np.uint8)
        return best

    def errors(self, scales: np.ndarray, tables: Sequence[Table]) -> np.ndarray:
        """float64[rows, blocks] weighted squared error of the weights."""
        least = np.min(self._group_errors(scales, tables), axis=0)
        groups = -(-self.scale_block // self.k)
        errors: np.ndarray = in_blocks(least, groups).sum(axis=2) * scales.astype(np.float64) ** 2
        return errors

    def indices(
        self, scales: np.ndarray, tables: Sequence[Table], chosen: np.ndarray
    ) -> np.ndarray:
        """uint8[rows, cols] entry of each weight in its group's table."""
        x = self.normalised(scales)
        ones = np.ones(chosen.shape, np.float32)
        entries = [table.codes(x, ones, self.k) for table in tables]
        return np.choose(per_column(chosen, self.k, x.shape[1]), entries)

    def values(self, scales: np.ndarray, tables: Sequence[Table]) -> np.ndarray:
        """float32[rows, cols] what the weights are rounded to, before the scale."""
        chosen = self.chosen(scales, tables)
        indices = self.indices(scales, tables, chosen)
        values = [table.array.take(indices, mode="clip") for table in tables]
        return np.choose(per_column(chosen, self.k, indices.shape[1]), values)

    def _group_errors(self, scales: np.ndarray, tables: Sequence[Table]) -> np.ndarray:
        x = self.normalised(scales)
        ones = np.ones((len(x), block_count(x.shape[1], self.k)), np.float32)
        return np.stack([table.errors(x, self.importance, ones, self.k) for table in tables])
