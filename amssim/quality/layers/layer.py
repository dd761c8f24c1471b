"""A linear layer: its weights, and the moments of its inputs where they are known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class LinearLayer:
    """A linear layer to restore.

    ``weights`` float32[rows, cols]; ``moments`` float32[cols, cols], E[x x^T] of its inputs, or
    None where nothing was calibrated.
    """

    name: str
    weights: np.ndarray
    moments: np.ndarray | None = None

    @property
    def importance(self) -> np.ndarray | None:
        """float32[cols] second moment of each input, or None."""
        return None if self.moments is None else np.diagonal(self.moments).astype(np.float32)


#: A stream of layers, each read once and let go.
Layers = Iterator[LinearLayer]
