"""How far a layer's output moves when its weights change, for given inputs."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from amssim.errors import InputError


@dataclass(frozen=True)
class OutputNoise:
    """Mean squares of the output W x and of its change (W - R) x, added over layers.

    With the second moments G = E[x x^T] they are tr(W G W^T) and tr((W - R) G (W - R)^T), so the
    inputs themselves need not be kept.

    >>> error = OutputNoise.of(np.float32([[1, 2]]), np.float32([[1, 1]]), np.eye(2))
    >>> error.signal, error.noise, round(error.sqnr_db, 2)
    (5.0, 1.0, 6.99)
    """

    signal: float = 0.0
    noise: float = 0.0

    @classmethod
    def of(cls, weights: np.ndarray, restored: np.ndarray, moments: np.ndarray) -> OutputNoise:
        """Measure float32[rows, cols] ``restored`` under inputs with ``moments`` [cols, cols].

        Raises:
            InputError: moments of another size.
        """
        cols = weights.shape[1]
        if moments.shape != (cols, cols):
            raise InputError(
                f"activations have {moments.shape[0]} columns: expected {cols} for weights "
                f"{list(weights.shape)}"
            )
        return cls(_power(weights, moments), _power(weights - restored, moments))

    def __add__(self, other: OutputNoise) -> OutputNoise:
        return OutputNoise(self.signal + other.signal, self.noise + other.noise)

    @property
    def sqnr_db(self) -> float:
        """Output signal to noise in dB; inf without noise, -inf without signal."""
        if not self.noise:
            return math.inf
        return 10 * math.log10(self.signal / self.noise) if self.signal else -math.inf

    def as_dict(self) -> dict[str, float | None]:
        """Return the figure for JSON, None if infinite; nothing where no layer was measured."""
        if not self.signal and not self.noise:
            return {}
        return {"output_sqnr_db": self.sqnr_db if math.isfinite(self.sqnr_db) else None}


def _power(matrix: np.ndarray, moments: np.ndarray) -> float:
    """tr(M G M^T), products in float32 and their sum in float64."""
    return float(np.einsum("ij,ij->", matrix @ moments, matrix, dtype=np.float64))
